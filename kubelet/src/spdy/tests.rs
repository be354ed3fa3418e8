use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::{Connection, Event};
use super::frame::{Decoder, Encoder, Frame, INITIAL_WINDOW};
use super::headers::{BLOCK_MAX, Deflater, Headers, Inflater};
use super::{Error, serve};

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn any_headers() -> impl Strategy<Value = Headers> {
    prop::collection::vec(("[a-z-]{1,20}", ".{0,40}"), 0..6).prop_map(|pairs| pairs.into_iter().collect())
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let id = || 1u32..0x7fff_ffff;
    prop_oneof![
        (id(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::SynStream { id, fin, headers }),
        (id(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
        (id(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
        (id(), any::<u32>()).prop_map(|(id, status)| Frame::Reset { id, status }),
        prop::collection::vec((0u32..100, any::<u32>()), 0..4).prop_map(Frame::Settings),
        any::<u32>().prop_map(Frame::Ping),
        (id(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (id(), id()).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        (id(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(id, fin, data)| Frame::Data {
            id,
            fin,
            data: data.into()
        }),
    ]
}

/// All frames of these bytes, given in pieces of these lengths, and how much the decoder kept at most.
fn decode(bytes: &[u8], pieces: &[usize]) -> (Result<Vec<Frame>, Error>, usize) {
    let (mut decoder, mut frames, mut most, mut rest) = (Decoder::new(), Vec::new(), 0, bytes);
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*lengths.next().unwrap_or(&7)).clamp(1, rest.len()));
        rest = after;
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (Err(error), most),
            }
        }
        most = most.max(decoder.waiting());
    }
    (Ok(frames), most)
}

/// Pieces of one data frame put together again.
fn join(frames: Vec<Frame>) -> Vec<Frame> {
    let (mut joined, mut open): (Vec<Frame>, Option<usize>) = (Vec::new(), None);
    for frame in frames {
        match (frame, open.and_then(|index| joined.get_mut(index))) {
            (Frame::Data { id, fin, data }, Some(Frame::Data { id: before, fin: end, data: start }))
                if *before == id =>
            {
                *start = [&start[..], &data].concat().into();
                *end = fin;
            }
            (frame, _) => joined.push(frame),
        }
        open = matches!(joined.last(), Some(Frame::Data { fin: false, .. })).then(|| joined.len() - 1);
    }
    joined
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_survive_the_wire(frames in prop::collection::vec(any_frame(), 1..8), pieces in prop::collection::vec(1usize..200, 1..5)) {
        let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).expect("encode");
        }
        let (decoded, _) = decode(&bytes, &pieces);
        // Without their ends, pieces cannot be told from frames: both sides are joined alike.
        prop_assert_eq!(join(decoded.expect("decode")), join(frames));
    }

    #[test]
    fn any_bytes_are_read_or_refused_in_bounded_memory(
        bytes in prop::collection::vec(any::<u8>(), 0..4000),
        starts in prop::collection::vec((0usize..4000, 0u16..12), 0..20),
        pieces in prop::collection::vec(1usize..500, 1..5),
    ) {
        let mut bytes = bytes;
        // Random bytes are hardly ever a control frame of our version.
        for (at, kind) in starts {
            if let Some(place) = bytes.get_mut(at..at + 8) {
                place.copy_from_slice(&[0x80, 3, 0, kind as u8, 0, 0, 0, 40]);
            }
        }
        let (_, most) = decode(&bytes, &pieces);
        prop_assert!(most <= BLOCK_MAX + 2048, "{} bytes wait", most);
        // A connection takes them as well.
        let _ = Connection::new(true).receive(&bytes);
    }
}

#[test]
fn headers_keep_one_dictionary_and_one_state() {
    let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
    let list = [
        headers(&[("streamtype", "error"), ("port", "80"), ("requestid", "0")]),
        headers(&[]),
        headers(&[("streamtype", "data"), ("port", "80"), ("requestid", "0")]),
        headers(&[("long", &"x".repeat(30_000))]),
    ];
    for headers in list {
        let block = deflater.encode(&headers).expect("encode");
        assert_eq!(inflater.decode(&block).expect("decode"), headers);
    }
    assert_eq!(headers(&[("StreamType", "data")]).get("streamType"), Some("data"));
}

#[test]
fn a_small_block_that_grows_is_refused() {
    let bomb = headers(&[("x", &"0".repeat(4 << 20))]);
    let block = Deflater::new().encode(&bomb).expect("encode");
    assert!(block.len() < BLOCK_MAX, "it fits into a frame");
    assert_eq!(Inflater::new().decode(&block), Err(Error::Headers("it is too long")));
}

#[test]
fn what_is_no_spdy_is_refused() {
    let table: [(&str, &[u8], Error); 5] = [
        ("another version", &[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], Error::Version(2)),
        ("a long frame", &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], Error::TooLong(0xff_ffff)),
        ("data of no stream", &[0, 0, 0, 0, 0, 0, 0, 1, 0], Error::StreamZero),
        ("a short frame", &[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0], Error::Short),
        ("a text", b"GET / HTTP/1.1\r\n\r\n", Error::Version(0)),
    ];
    for (name, bytes, expected) in table {
        let (result, _) = decode(bytes, &[64]);
        match name {
            // Without the control bit it looks like data of a long frame.
            "a text" => assert!(result.is_ok()),
            _ => assert_eq!(result, Err(expected), "{name}"),
        }
    }
    let unknown = [0x80, 3, 0, 99, 0, 0, 0, 1, 7, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9];
    assert_eq!(decode(&unknown, &[3]).0, Ok(vec![Frame::Ping(9)]), "kinds that nobody knows are passed over");
}

/// Everything that one side has to say goes to the other.
fn carry(from: &mut Connection, to: &mut Connection) -> Vec<Event> {
    let bytes = from.output().split();
    to.receive(&bytes).expect("receive")
}

#[test]
fn a_stream_from_its_opening_to_its_end() {
    let (mut client, mut server) = (Connection::new(false), Connection::new(true));
    client.open(1, headers(&[("port", "80")])).expect("open");
    let opened = carry(&mut client, &mut server);
    assert_eq!(opened, [Event::Opened { id: 1, headers: headers(&[("port", "80")]) }]);
    server.accept(1).expect("accept");
    server.send(1, Bytes::from("hello"), true).expect("send");
    let data = Event::Data { id: 1, data: Bytes::from("hello") };
    assert_eq!(carry(&mut server, &mut client), [Event::Accepted(1), data, Event::Finished(1)]);
    assert!(!server.is_open(1) && client.is_open(1));
    client.send(1, Bytes::new(), true).expect("send");
    assert_eq!(carry(&mut client, &mut server), [Event::Finished(1)]);
    client.open(3, Headers::default()).expect("open");
    carry(&mut client, &mut server);
    server.reset(3).expect("reset");
    assert_eq!(carry(&mut server, &mut client), [Event::Reset(3)]);
    client.open(3, Headers::default()).expect("open");
    assert_eq!(carry(&mut client, &mut server), [], "a number is not used twice");
    server.go_away().expect("go away");
    carry(&mut server, &mut client);
    client.open(5, Headers::default()).expect("open");
    assert_eq!(carry(&mut client, &mut server), [], "no more streams");
    assert_eq!(carry(&mut server, &mut client), [Event::Reset(5)]);
}

#[test]
fn windows_hold_for_peers_that_keep_them() {
    let mut server = Connection::new(true);
    let mut encoder = Encoder::new();
    let mut tell = |server: &mut Connection, frame: Frame| {
        let mut bytes = BytesMut::new();
        encoder.encode(&frame, &mut bytes).expect("encode");
        server.receive(&bytes).expect("receive");
    };
    tell(&mut server, Frame::SynStream { id: 1, fin: false, headers: Headers::default() });
    assert_eq!(server.room(1), u64::MAX, "spdystream never moves a window");
    tell(&mut server, Frame::Settings(vec![(INITIAL_WINDOW, 10)]));
    server.send(1, Bytes::from("1234567"), false).expect("send");
    assert_eq!(server.room(1), 3);
    tell(&mut server, Frame::WindowUpdate { id: 1, delta: 100 });
    assert_eq!((server.room(1), server.room(3)), (103, 0));
    tell(&mut server, Frame::Settings(vec![(INITIAL_WINDOW, 0)]));
    assert_eq!(server.room(1), 93);
    server.output().clear();
    tell(&mut server, Frame::Ping(1));
    tell(&mut server, Frame::Ping(2));
    assert_eq!(
        decode(server.output(), &[64]).0,
        Ok(vec![Frame::Ping(1)]),
        "a ping of the peer is answered, one of ours not"
    );
}

/// A client on the other end of a pipe: it sends this, then says what came until the connection ends.
async fn converse(pipe: tokio::io::DuplexStream, mut client: Connection) -> Vec<Event> {
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let bytes = client.output().split();
    let sending = tokio::spawn(async move {
        writer.write_all(&bytes).await.expect("write");
        writer
    });
    let (mut events, mut buffer) = (Vec::new(), vec![0; 1000]);
    loop {
        match reader.read(&mut buffer).await.expect("read") {
            0 => break,
            count => events.extend(client.receive(&buffer[..count]).expect("receive")),
        }
    }
    drop(sending.await.expect("the sender"));
    events
}

#[tokio::test]
async fn streams_carry_more_than_any_buffer() {
    const PIECES: usize = 400;
    let (ours, theirs) = tokio::io::duplex(4096);
    let mut client = Connection::new(false);
    for id in [1, 3] {
        client.open(id, headers(&[("n", &id.to_string())])).expect("open");
        for piece in 0..PIECES {
            client.send(id, Bytes::from(vec![piece as u8; 5000]), piece + 1 == PIECES).expect("send");
        }
    }
    let conversation = tokio::spawn(converse(theirs, client));
    let (reader, writer) = tokio::io::split(ours);
    let mut incoming = serve(reader, writer);
    let mut echoes = Vec::new();
    while echoes.len() < 2 {
        let mut stream = incoming.next().await.expect("a stream");
        echoes.push(tokio::spawn(async move {
            stream.outlet.accept().await;
            let mut length = 0;
            while let Some(data) = stream.read().await {
                length += data.len();
                assert!(stream.outlet.write(data).await);
            }
            assert!(stream.outlet.finish().await);
            length
        }));
    }
    drop(incoming);
    for echo in echoes {
        assert_eq!(echo.await.expect("echo"), PIECES * 5000);
    }
    let events = conversation.await.expect("the client");
    let sum = |wanted: u32| -> usize {
        let of = |event: &Event| match event {
            Event::Data { id, data } if *id == wanted => data.len(),
            _ => 0,
        };
        events.iter().map(of).sum()
    };
    assert_eq!((sum(1), sum(3)), (PIECES * 5000, PIECES * 5000));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Finished(_))).count(), 2);
}

#[tokio::test]
async fn a_connection_ends_with_its_last_handle() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let mut client = Connection::new(false);
    client.open(1, Headers::default()).expect("open");
    let conversation = tokio::spawn(converse(theirs, client));
    let (reader, writer) = tokio::io::split(ours);
    let mut incoming = serve(reader, writer);
    let stream = incoming.next().await.expect("a stream");
    drop(incoming);
    stream.outlet.accept().await;
    stream.outlet.write(Bytes::from("last words")).await;
    drop(stream);
    let events = conversation.await.expect("the client");
    assert_eq!(events, [Event::Accepted(1), Event::Data { id: 1, data: Bytes::from("last words") }]);
}
