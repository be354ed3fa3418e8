//! The task that owns a connection's socket, and the handles of its streams.
//!
//! Nothing is read while a stream has more than it takes; nothing is taken from the streams while the socket takes no more.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::connection::{Connection, Event};
use super::headers::Headers;

/// Pieces that wait in a stream for whom they are meant for.
const INBOX: usize = 32;
const READ: usize = 16 << 10;
/// Calls that wait for the connection.
const COMMANDS: usize = 64;
/// What waits for the socket before streams must wait.
const OUTPUT: usize = 256 << 10;
/// Streams that nobody has asked for yet.
const OPENED: usize = 64;
/// After our last word, so long for the peer's.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum Command {
    Send { id: u32, data: Bytes, fin: bool },
    Accept(u32),
    Reset(u32),
    Consumed(u32, u32),
}

/// Streams that the peer opens. When it and all streams are dropped, what was sent is sent, and the connection ends.
#[derive(Debug)]
pub struct Incoming {
    streams: mpsc::Receiver<Stream>,
    _commands: mpsc::Sender<Command>,
}

impl Incoming {
    /// `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }
}

/// A stream that the peer has opened. It waits for [`Outlet::accept`] or [`Outlet::reset`].
#[derive(Debug)]
pub struct Stream {
    pub headers: Headers,
    pub outlet: Outlet,
    inbox: mpsc::Receiver<Bytes>,
    unreported: u32,
}

impl Stream {
    pub fn id(&self) -> u32 {
        self.outlet.id
    }

    /// `None`: the peer sends no more, or is gone.
    pub async fn read(&mut self) -> Option<Bytes> {
        let data = self.inbox.recv().await?;
        self.unreported += data.len() as u32;
        // When the connection is busy, it is told with the next one.
        if self.outlet.commands.try_send(Command::Consumed(self.outlet.id, self.unreported)).is_ok() {
            self.unreported = 0;
        }
        Some(data)
    }
}

/// The sending side of a stream.
#[derive(Clone, Debug)]
pub struct Outlet {
    id: u32,
    commands: mpsc::Sender<Command>,
}

impl Outlet {
    /// Each waits while the connection is busy; false: it is gone.
    async fn command(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    pub async fn accept(&self) -> bool {
        self.command(Command::Accept(self.id)).await
    }

    pub async fn write(&self, data: Bytes) -> bool {
        self.command(Command::Send { id: self.id, data, fin: false }).await
    }

    /// Nothing more is sent.
    pub async fn finish(&self) -> bool {
        self.command(Command::Send { id: self.id, data: Bytes::new(), fin: true }).await
    }

    /// The stream is of no use to either side.
    pub async fn reset(&self) -> bool {
        self.command(Command::Reset(self.id)).await
    }
}

/// Serves a connection on a task of its own.
pub fn serve<R, W>(reader: R, writer: W) -> Incoming
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (opened, streams) = mpsc::channel(OPENED);
    let (sender, commands) = mpsc::channel(COMMANDS);
    let driver = Driver {
        connection: Connection::new(true),
        reader,
        writer,
        commands,
        sender: sender.downgrade(),
        opened,
        inboxes: BTreeMap::new(),
        events: VecDeque::new(),
        waiting: VecDeque::new(),
    };
    tokio::spawn(async move {
        if let Err(error) = driver.run().await {
            tracing::debug!(%error, "a SPDY connection ended");
        }
    });
    Incoming { streams, _commands: sender }
}

struct Driver<R, W> {
    connection: Connection,
    reader: R,
    writer: W,
    commands: mpsc::Receiver<Command>,
    sender: mpsc::WeakSender<Command>,
    opened: mpsc::Sender<Stream>,
    inboxes: BTreeMap<u32, mpsc::Sender<Bytes>>,
    /// Not delivered yet; while there are any, nothing is read.
    events: VecDeque<Event>,
    /// Data that the peer's windows have no room for.
    waiting: VecDeque<Command>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Driver<R, W> {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        loop {
            let room = self.connection.output().len() < OUTPUT && self.waiting.is_empty();
            let has_output = !self.connection.output().is_empty();
            tokio::select! {
                read = self.reader.read(&mut buffer), if self.events.is_empty() => {
                    let count = read?;
                    if count == 0 {
                        return Ok(());
                    }
                    let received = self.connection.receive(&buffer[..count]);
                    match received {
                        Ok(events) => self.events.extend(events),
                        Err(error) => {
                            self.flush().await?;
                            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                        }
                    }
                    self.send_waiting()?;
                }
                written = self.writer.write_buf(self.connection.output()), if has_output => {
                    if written? == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    if self.connection.output().is_empty() {
                        self.writer.flush().await?;
                    }
                }
                delivered = deliver(&self.events, &self.inboxes, &self.opened), if !self.events.is_empty() => {
                    self.delivered(delivered)?;
                }
                command = self.commands.recv(), if room => match command {
                    Some(command) => self.perform(command)?,
                    None => return self.farewell(&mut buffer).await,
                },
            }
        }
    }

    /// The first event has gone where it belongs, or nobody wants it.
    fn delivered(&mut self, place: Option<mpsc::OwnedPermit<Bytes>>) -> io::Result<()> {
        match (self.events.pop_front(), place) {
            (Some(Event::Data { data, .. }), Some(place)) => drop(place.send(data)),
            (Some(Event::Opened { id, headers }), _) => self.open(id, headers)?,
            (Some(Event::Finished(id) | Event::Reset(id)), _) => drop(self.inboxes.remove(&id)),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, id: u32, headers: Headers) -> io::Result<()> {
        let Some(commands) = self.sender.upgrade() else { return self.reset(id) };
        let (sender, inbox) = mpsc::channel(INBOX);
        let stream = Stream { headers, outlet: Outlet { id, commands }, inbox, unreported: 0 };
        match self.opened.try_send(stream) {
            Ok(()) => drop(self.inboxes.insert(id, sender)),
            Err(_) => self.reset(id)?,
        }
        Ok(())
    }

    fn reset(&mut self, id: u32) -> io::Result<()> {
        self.inboxes.remove(&id);
        self.connection.reset(id).map_err(io::Error::other)
    }

    fn perform(&mut self, command: Command) -> io::Result<()> {
        let done = match command {
            Command::Accept(id) => self.connection.accept(id),
            Command::Consumed(id, length) => self.connection.consumed(id, length),
            Command::Reset(id) => return self.reset(id),
            Command::Send { id, data, fin } => {
                let room = self.connection.room(id);
                if (data.len() as u64) > room && self.connection.is_open(id) {
                    self.waiting.push_back(Command::Send { id, data, fin });
                    return self.send_waiting();
                }
                self.connection.send(id, data, fin)
            }
        };
        done.map_err(io::Error::other)
    }

    /// As much as the windows have room for now.
    fn send_waiting(&mut self) -> io::Result<()> {
        for command in std::mem::take(&mut self.waiting) {
            let Command::Send { id, mut data, fin } = command else { continue };
            let room = usize::try_from(self.connection.room(id)).unwrap_or(usize::MAX);
            let all = data.len() <= room || !self.connection.is_open(id);
            let now = if all { data.split_off(0) } else { data.split_to(room) };
            self.connection.send(id, now, fin && all).map_err(io::Error::other)?;
            if !all {
                self.waiting.push_back(Command::Send { id, data, fin });
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.connection.output().is_empty() {
            self.writer.write_buf(self.connection.output()).await?;
        }
        self.writer.flush().await
    }

    /// Closing a connection with unread input resets it, and the peer may lose what was sent to it last.
    async fn farewell(mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.connection.go_away().map_err(io::Error::other)?;
        let end = async {
            self.flush().await?;
            self.writer.shutdown().await?;
            while self.reader.read(buffer).await? > 0 {}
            Ok(())
        };
        tokio::time::timeout(FAREWELL, end).await.unwrap_or(Ok(()))
    }
}

/// Waits until the first event can be delivered; data is given a place, which is none when nobody wants it any more.
async fn deliver(
    events: &VecDeque<Event>,
    inboxes: &BTreeMap<u32, mpsc::Sender<Bytes>>,
    opened: &mpsc::Sender<Stream>,
) -> Option<mpsc::OwnedPermit<Bytes>> {
    match events.front() {
        Some(Event::Data { id, .. }) => inboxes.get(id)?.clone().reserve_owned().await.ok(),
        Some(Event::Opened { .. }) => {
            // There is room, or nobody listens: both are told when the stream is opened.
            let _ = opened.reserve().await;
            None
        }
        _ => None,
    }
}
