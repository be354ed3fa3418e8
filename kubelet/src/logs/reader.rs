//! Streams a log: from a position through the rotated files to the end, and on as it grows.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::LogOptions;
use super::files::{Position, segments, tail_position};
use super::record::Record;

/// Read at once; a chunk waits for its reader before the next one is read.
const CHUNK: usize = 64 << 10;

/// Turns records into what a client sees.
struct Filter {
    options: LogOptions,
    /// The next text begins a line (of either stream: their partial records interleave as upstream's do).
    fresh: bool,
    sent: usize,
    carry: Vec<u8>,
}

impl Filter {
    fn new(options: LogOptions) -> Filter {
        Filter { options, fresh: true, sent: 0, carry: Vec::new() }
    }

    /// `true`: the limit is reached.
    fn feed(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.extend_from_slice(raw);
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if let Some(record) = Record::parse(line) {
                self.record(&record, out);
            }
        }
        self.carry = rest.to_vec();
        let limit = self.options.limit_bytes.unwrap_or(usize::MAX);
        let room = limit.saturating_sub(self.sent);
        let full = out.len() >= room;
        out.truncate(room);
        self.sent += out.len();
        full
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        if let Some(since) = self.options.since
            && record.timestamp().is_some_and(|time| time < since)
        {
            return;
        }
        if self.options.stream.as_ref().is_some_and(|stream| stream.as_bytes() != record.stream) {
            return;
        }
        if self.options.timestamps && self.fresh {
            out.extend_from_slice(record.time);
            out.push(b' ');
        }
        out.extend_from_slice(record.text);
        if !record.partial {
            out.push(b'\n');
        }
        self.fresh = !record.partial;
    }
}

/// Sends the log of `path` until its end, or while following until `ended` is ready and everything has been sent. Stops when
/// nobody listens any more.
pub async fn stream(
    path: PathBuf,
    options: LogOptions,
    ended: impl Future<Output = ()> + Send,
    to: mpsc::Sender<io::Result<Bytes>>,
) {
    if let Err(error) = read(&path, options, ended, &to).await {
        // A client that went away needs no error.
        let _ = to.send(Err(error)).await;
    }
}

async fn read(
    path: &Path,
    options: LogOptions,
    ended: impl Future<Output = ()>,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    // Watched before the first read, so that nothing is missed in between.
    let watch = if options.follow { Some(Watch::new(path)?) } else { None };
    let files = segments(path);
    let start = match options.tail_lines {
        Some(lines) => {
            let files = files.clone();
            tokio::task::spawn_blocking(move || tail_position(&files, lines)).await.map_err(io::Error::other)??
        }
        None => Position { segment: 0, offset: 0 },
    };
    let mut filter = Filter::new(options);
    let mut current = None;
    for (index, file) in files.iter().enumerate().skip(start.segment) {
        let mut file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if index == start.segment {
            file.seek(SeekFrom::Start(start.offset))?;
        }
        if drain(&mut file, &mut filter, to).await?.is_break() {
            return Ok(());
        }
        current = Some(file);
    }
    match watch {
        Some(watch) => follow(path, watch, current, filter, ended, to).await,
        None => Ok(()),
    }
}

type Flow = std::ops::ControlFlow<()>;

/// To the present end of the file. Break: the limit is reached, or nobody listens.
async fn drain(file: &mut File, filter: &mut Filter, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<Flow> {
    let mut buffer = vec![0; CHUNK];
    loop {
        // From the page cache as a rule, and bounded: not worth a thread.
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Flow::Continue(()));
        }
        let mut out = Vec::new();
        let full = filter.feed(&buffer[..count], &mut out);
        if !out.is_empty() && to.send(Ok(Bytes::from(out))).await.is_err() {
            return Ok(Flow::Break(()));
        }
        if full {
            return Ok(Flow::Break(()));
        }
    }
}

async fn follow(
    path: &Path,
    watch: Watch,
    mut current: Option<File>,
    mut filter: Filter,
    ended: impl Future<Output = ()>,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut ended = std::pin::pin!(ended);
    let mut over = false;
    loop {
        if let Some(file) = &mut current
            && drain(file, &mut filter, to).await?.is_break()
        {
            return Ok(());
        }
        // Rotated away, or made only now: go on in the file that has the name.
        match successor(path, current.as_ref())? {
            Some(next) => {
                current = Some(next);
                continue;
            }
            None if over => return Ok(()),
            None => {}
        }
        tokio::select! {
            changed = watch.changed() => changed?,
            () = &mut ended => over = true,
            () = to.closed() => return Ok(()),
        }
    }
}

fn successor(path: &Path, current: Option<&File>) -> io::Result<Option<File>> {
    let next = match File::open(path) {
        Ok(next) => next,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = match current {
        Some(current) => current.metadata()?.ino() == next.metadata()?.ino(),
        None => false,
    };
    Ok((!same).then_some(next))
}

/// Changes in the directory of a log.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new(log: &Path) -> io::Result<Watch> {
        let dir = log.parent().unwrap_or(Path::new("/"));
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVE;
        inotify::add_watch(&fd, dir, events)?;
        // SAFETY: an OwnedFd stays open, and the same descriptor, until the AsyncFd that owns it is dropped.
        Ok(Watch(unsafe { AsyncFd::register(fd) }?))
    }

    async fn changed(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut buffer = [0; 4096];
        // What happened does not matter: the reader looks for itself.
        while rustix::io::read(self.0.get_ref(), &mut buffer).is_ok() {}
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(second: u32, text: &str) -> String {
        format!("2026-01-01T00:00:{second:02}Z stdout F {text}\n")
    }

    async fn all(path: PathBuf, options: LogOptions) -> String {
        let (to, mut from) = mpsc::channel(1);
        tokio::spawn(stream(path, options, std::future::pending(), to));
        let mut out = Vec::new();
        while let Some(chunk) = from.recv().await {
            out.extend_from_slice(&chunk.expect("a chunk"));
        }
        String::from_utf8(out).expect("text")
    }

    #[tokio::test]
    async fn options_select() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        std::fs::write(dir.path().join("0.log.1"), line(1, "one")).expect("write");
        let partial = "2026-01-01T00:00:02Z stdout P tw\n2026-01-01T00:00:02Z stdout F o\n";
        std::fs::write(&path, format!("{partial}{}", line(3, "three"))).expect("write");
        let base = LogOptions::default;
        let table = [
            ("everything", base(), "one\ntwo\nthree\n"),
            ("tail", LogOptions { tail_lines: Some(1), ..base() }, "three\n"),
            ("limit", LogOptions { limit_bytes: Some(5), ..base() }, "one\nt"),
            ("since", LogOptions { since: "2026-01-01T00:00:03Z".parse().ok(), ..base() }, "three\n"),
            (
                "timestamps",
                LogOptions { timestamps: true, ..base() },
                "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z three\n",
            ),
        ];
        for (name, options, expected) in table {
            assert_eq!(all(path.clone(), options).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn follows_through_a_rotation_to_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        std::fs::write(&path, line(1, "a")).expect("write");
        let (to, mut from) = mpsc::channel(8);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let reader = stream(path.clone(), options, async { drop(ended.await) }, to);
        tokio::spawn(reader);
        let mut next = async || {
            let chunk = tokio::time::timeout(Duration::from_secs(5), from.recv()).await.expect("in time");
            chunk.map(|chunk| String::from_utf8(chunk.expect("a chunk").to_vec()).expect("text"))
        };
        assert_eq!(next().await.as_deref(), Some("a\n"));
        std::fs::write(&path, line(1, "a") + &line(2, "b")).expect("write");
        assert_eq!(next().await.as_deref(), Some("b\n"));
        std::fs::rename(&path, dir.path().join("0.log.1")).expect("rotate");
        std::fs::write(&path, line(3, "c")).expect("write");
        assert_eq!(next().await.as_deref(), Some("c\n"));
        end.send(()).expect("the reader waits");
        assert_eq!(next().await, None, "the container is gone");
    }
}
