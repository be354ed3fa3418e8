//! Several streams in one WebSocket: Kubernetes' channel protocols.
//!
//! The first byte of a message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 error (the outcome), 4 terminal size. Version 5
//! adds 255: its second byte names a channel that the client is done with. Versions before 4 write the outcome as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
pub const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: &'static str,
    base64: bool,
    version: u8,
}

/// Best first.
const PROTOCOLS: [Protocol; 6] = [
    Protocol { name: "v5.channel.k8s.io", base64: false, version: 5 },
    Protocol { name: "v4.channel.k8s.io", base64: false, version: 4 },
    Protocol { name: "v4.base64.channel.k8s.io", base64: true, version: 4 },
    Protocol { name: "channel.k8s.io", base64: false, version: 1 },
    Protocol { name: "base64.channel.k8s.io", base64: true, version: 1 },
    Protocol { name: "", base64: false, version: 1 },
];

/// What came from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Input(Vec<u8>),
    /// Columns and rows.
    Resize(u16, u16),
    EndOfInput,
    /// Nothing that means anything here.
    Nothing,
    Closed,
}

impl Protocol {
    /// From the Sec-WebSocket-Protocol header. `None`: the client speaks only what we do not.
    pub fn negotiate(header: Option<&str>) -> Option<Protocol> {
        let offered: Vec<&str> = header.unwrap_or_default().split(',').map(str::trim).collect();
        PROTOCOLS.into_iter().find(|protocol| offered.contains(&protocol.name))
    }

    /// For ports, which version 5 and the plain names of version 1 are not spoken for. The client's first choice counts.
    pub fn for_ports(offered: &str) -> Option<Protocol> {
        const NAMES: [&str; 3] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""];
        let known = |name: &str| PROTOCOLS.into_iter().find(|it| it.name == name && NAMES.contains(&name));
        offered.split(',').map(str::trim).find_map(known)
    }

    pub fn encode(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let text = format!("{}{}", char::from(b'0' + channel), STANDARD.encode(data));
            return Message::text(text);
        }
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(channel);
        message.extend_from_slice(data);
        Message::binary(message)
    }

    /// Channel and data of a message.
    pub fn split(self, message: &Message) -> Option<(u8, Vec<u8>)> {
        let raw = match message {
            Message::Binary(bytes) => bytes.as_ref(),
            Message::Text(text) => text.as_bytes(),
            _ => return None,
        };
        let (first, rest) = raw.split_first()?;
        Some(match self.base64 {
            true => (first.wrapping_sub(b'0'), STANDARD.decode(rest).unwrap_or_default()),
            false => (*first, rest.to_vec()),
        })
    }

    pub fn decode(self, message: &Message) -> Incoming {
        if message.is_close() {
            return Incoming::Closed;
        }
        let Some((channel, data)) = self.split(message) else { return Incoming::Nothing };
        match channel {
            STDIN => Incoming::Input(data),
            RESIZE => size(&data).map_or(Incoming::Nothing, |(columns, rows)| Incoming::Resize(columns, rows)),
            CLOSE if self.version >= 5 && data.first() == Some(&STDIN) => Incoming::EndOfInput,
            _ => Incoming::Nothing,
        }
    }

    /// The outcome for channel 3. `None`: this version says nothing about a success.
    pub fn outcome(self, status: &Value) -> Option<Message> {
        if self.version >= 4 {
            return Some(self.encode(ERROR, status.to_string().as_bytes()));
        }
        let failed = status["status"] != "Success";
        failed.then(|| self.encode(ERROR, status["message"].as_str().unwrap_or_default().as_bytes()))
    }
}

/// Columns and rows of a terminal.
pub fn size(data: &[u8]) -> Option<(u16, u16)> {
    let size: Value = serde_json::from_slice(data).ok()?;
    let field = |name: &str| size[name].as_u64().and_then(|value| u16::try_from(value).ok());
    Some((field("Width")?, field("Height")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn negotiation() {
        let table = [
            (Some("v5.channel.k8s.io, v4.channel.k8s.io"), Some("v5.channel.k8s.io")),
            (Some("v4.channel.k8s.io,v3.channel.k8s.io"), Some("v4.channel.k8s.io")),
            (Some("base64.channel.k8s.io"), Some("base64.channel.k8s.io")),
            (Some("SPDY/3.1+portforward.k8s.io"), None),
            (None, Some("")),
        ];
        for (header, expected) in table {
            assert_eq!(Protocol::negotiate(header).map(|protocol| protocol.name), expected, "{header:?}");
        }
    }

    #[test]
    fn negotiation_for_ports() {
        let table = [
            ("v5.channel.k8s.io, v4.channel.k8s.io", Some("v4.channel.k8s.io")),
            ("v4.base64.channel.k8s.io, v4.channel.k8s.io", Some("v4.base64.channel.k8s.io")),
            ("channel.k8s.io", None),
            ("", Some("")),
        ];
        for (offered, expected) in table {
            assert_eq!(Protocol::for_ports(offered).map(|protocol| protocol.name), expected, "{offered}");
        }
    }

    #[test]
    fn messages() {
        let [v5, v4, base64, v1, ..] = PROTOCOLS;
        let binary = |bytes: &[u8]| Message::binary(bytes.to_vec());
        let table = [
            (v5, binary(b"\0hi"), Incoming::Input(b"hi".to_vec())),
            (v5, binary(b"\xff\0"), Incoming::EndOfInput),
            (v4, binary(b"\xff\0"), Incoming::Nothing),
            (v4, binary(b"\x04{\"Width\":80,\"Height\":24}"), Incoming::Resize(80, 24)),
            (v4, binary(b"\x04junk"), Incoming::Nothing),
            (base64, Message::text("0aGk="), Incoming::Input(b"hi".to_vec())),
            (v5, binary(b""), Incoming::Nothing),
            (v5, Message::Close(None), Incoming::Closed),
        ];
        for (protocol, message, expected) in table {
            assert_eq!(protocol.decode(&message), expected, "{} {message:?}", protocol.name);
        }
        assert_eq!(v4.encode(STDOUT, b"x"), binary(b"\x01x"));
        assert_eq!(base64.encode(STDOUT, b"hi"), Message::text("1aGk="));
        let (good, bad) = (json!({"status": "Success"}), json!({"status": "Failure", "message": "m"}));
        assert_eq!(v5.outcome(&good), Some(binary(b"\x03{\"status\":\"Success\"}")));
        assert_eq!((v1.outcome(&good), v1.outcome(&bad)), (None, Some(binary(b"\x03m"))));
    }
}
