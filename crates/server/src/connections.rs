//! The connections of a listener: how many may be open, which one is evicted for another, how much memory they may
//! use, and how they end.
//!
//! # Places
//!
//! At most [`PLACES`] connections are open, fewer if the process may not open as many files. When all
//! places are taken, a new connection is accepted all the same, and one that waits for its client (no request
//! yet, an incomplete request, an answer that the client does not read) is closed: in a sample, of the source
//! with the most connections the one that has waited longest. A connection whose request was read completely is
//! never closed for that. Ten thousand idle or slow connections therefore keep nobody out, and a source that opens
//! thousands loses its own and nobody else's. A source is an IPv4 address or an IPv6 /64.
//!
//! # Memory
//!
//! | what | at most |
//! |---|---|
//! | a connection: task, buffers, head and body up to [`FREE_BYTES`] each, their fields | 128 KiB |
//! | heads longer than that: [`HEADS_BYTES`] | 64 MiB |
//! | bodies longer than that: [`BODIES_BYTES`], 48 MiB, and what the allocator keeps while they grow | 64 MiB |
//! | answers longer than that, until the client has read them: [`ANSWERS_BYTES`] | 64 MiB |
//!
//! With all 10,000 places that is 1.22 GiB + 192 MiB = 1.41 GiB in the worst case that anybody can cause;
//! parsing a long body takes a few times its length for as long as one thread works on it, and answers are
//! counted when they are complete. `tests/overload.rs` measures what an idle connection takes: 23 KiB.
//!
//! What the kernel buffers in addition, at most 512 KiB per connection, is set in [`crate::http::bind`].
//!
//! Heads and bodies take memory in steps as their bytes arrive: an announced length costs nothing. [`room`] decides
//! who is served first and who loses a part when there is none left. A request waits for a part no longer than the
//! time that heads and bodies have anyway, and is then answered 503 `ServiceUnavailable`.

mod room;
mod slot;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::RecvFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tracing::warn;

pub(crate) use room::Place;
pub(crate) use slot::Source;

use room::{Ask, Room};
use slot::{ANSWERING, BODY, Common, EVICTED, IDLE, Shares, Slot};

/// Connections open at once, if the process may open as many files.
pub(crate) const PLACES: usize = 10_000;
/// Files that are left for everything but connections: database, logs, the admin listener.
const OTHER_FILES: usize = 512;
/// Bytes of a request's head: certificates can make the query long.
pub(crate) const HEAD_BYTES: usize = 256 * 1024;
/// Bytes of a request's body.
pub(crate) const BODY_BYTES: usize = 1024 * 1024;
/// Heads, bodies and answers up to this size are not counted against the shared budget.
pub(crate) const FREE_BYTES: usize = 16 * 1024;
/// Bytes of heads above [`FREE_BYTES`].
pub(crate) const HEADS_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of bodies above [`FREE_BYTES`].
pub(crate) const BODIES_BYTES: usize = 48 * 1024 * 1024;
/// Bytes of answers above [`FREE_BYTES`] that clients have not taken, before new work waits for them.
pub(crate) const ANSWERS_BYTES: usize = 64 * 1024 * 1024;
/// TLS handshakes at once.
pub(crate) const HANDSHAKES: usize = 1_024;
/// For a client to take an answer that does not fit into the socket.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A client that has left its answer lying for this long waits, as one without a request does.
const LEFT_MS: u64 = 1_000;
/// Bytes read at once. More would let every connection's buffer grow and stay large.
const READ_BYTES: usize = 8 * 1024;
/// Connections sampled to find one that has waited long.
const SAMPLE: usize = 64;
/// A connection that is to make room has this long, then another one is ended as well.
const ROOM_TIME: Duration = Duration::from_millis(20);

/// How far the stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// What was accepted is answered.
    Orderly,
    /// As before, and TLS handshakes that are not done end.
    Shaken,
    /// Everything ends.
    Now,
}

/// All connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    common: Arc<Common>,
    total: u32,
    places: Arc<Semaphore>,
    heads: Arc<Room>,
    bodies: Arc<Room>,
    answers: Arc<Room>,
    handshakes: Arc<Room>,
    open: Mutex<Open>,
    stop: AtomicU8,
}

/// Those that are open, and how many of them each source has.
#[derive(Debug, Default)]
struct Open {
    slots: Vec<Arc<Slot>>,
    shares: Shares,
}

/// What is held of the bounds, in bytes; the last in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Of [`HEADS_BYTES`].
    pub heads: usize,
    /// Of [`BODIES_BYTES`].
    pub bodies: usize,
    /// Of [`ANSWERS_BYTES`].
    pub answers: usize,
    /// Of [`HANDSHAKES`].
    pub handshakes: usize,
}

/// An open connection: its place is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    slot: Arc<Slot>,
    _place: OwnedSemaphorePermit,
}

/// How a connection came to its end.
#[derive(Debug)]
pub(crate) enum End<T> {
    /// By itself.
    Done(T),
    /// It was told to.
    Told,
}

impl Connections {
    /// Room for as many connections as the limit of open files allows, which is raised if it can be.
    #[must_use]
    pub(crate) fn new() -> Self {
        let files = raise_file_limit();
        let total = files.saturating_sub(OTHER_FILES).clamp(16, PLACES);
        if total < PLACES {
            warn!(files, connections = total, "few files may be open: raise the limit (LimitNOFILE)");
        }
        Self::with_places(u32::try_from(total).unwrap_or(u32::MAX))
    }

    /// Room for so many connections.
    #[must_use]
    pub(crate) fn with_places(total: u32) -> Self {
        let common = Arc::new(Common::new());
        Self {
            total,
            places: Arc::new(Semaphore::new(total as usize)),
            heads: Room::new(&common, HEADS_BYTES, HEAD_BYTES, IDLE),
            bodies: Room::new(&common, BODIES_BYTES, BODY_BYTES, BODY),
            answers: Room::new(&common, ANSWERS_BYTES, 0, ANSWERING),
            handshakes: Room::new(&common, HANDSHAKES, 0, IDLE),
            open: Mutex::default(),
            stop: AtomicU8::new(Stop::No as u8),
            common,
        }
    }

    /// Connections that are open.
    #[must_use]
    pub(crate) fn open(&self) -> usize {
        self.list().slots.len()
    }

    /// Connections ended to make room.
    #[must_use]
    pub(crate) fn evicted(&self) -> u64 {
        self.common.evicted()
    }

    /// What is held of the bounds.
    #[must_use]
    pub(crate) fn held(&self) -> Held {
        Held {
            heads: self.heads.used(),
            bodies: self.bodies.used(),
            answers: self.answers.used(),
            handshakes: self.handshakes.used(),
        }
    }

    /// A place for a new connection; somebody who waits is sent away for it if need be.
    pub(crate) async fn enter(self: &Arc<Self>, source: Source) -> Connection {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return self.register(place, source);
            }
            self.evict();
            if let Ok(Ok(place)) = timeout(ROOM_TIME, Arc::clone(&self.places).acquire_owned()).await {
                return self.register(place, source);
            }
        }
    }

    /// Waits until every connection has ended.
    pub(crate) async fn all_ended(&self) {
        // It is never closed.
        let _ = self.places.acquire_many(self.total).await;
    }

    /// Tells every connection how it is to end.
    pub(crate) fn stop(&self, stop: Stop) {
        self.stop.store(stop as u8, Ordering::SeqCst);
        for slot in &self.list().slots {
            slot.told.notify_one();
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst) != Stop::No as u8
    }

    fn list(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, place: OwnedSemaphorePermit, source: Source) -> Connection {
        let mut open = self.list();
        let share = open.shares.add(source, 1);
        let slot = Arc::new(Slot::new(&self.common, source, share, open.slots.len()));
        open.slots.push(Arc::clone(&slot));
        Connection { all: Arc::clone(self), slot, _place: place }
    }

    /// Ends one of those that wait for their client: of a sample, of the source with the most connections the
    /// one that has waited longest. Among all only if the sample has none.
    fn evict(&self) {
        let open = self.list();
        let now = self.common.now_ms();
        let waits = |kind: u64, since: u64| match kind {
            IDLE | BODY => true,
            ANSWERING => since + LEFT_MS <= now,
            _ => false,
        };
        let fits = |slot: &&Arc<Slot>| waits(slot.kind(), slot.since_ms());
        let first =
            |slot: &&Arc<Slot>| (std::cmp::Reverse(slot.share.load(Ordering::Relaxed)), slot.since_ms());
        let slots = &open.slots;
        let sample = (0..SAMPLE).filter_map(|_| slots.get(fastrand::usize(..slots.len().max(1))));
        let chosen =
            sample.filter(fits).min_by_key(first).or_else(|| slots.iter().filter(fits).min_by_key(first));
        if let Some(slot) = chosen {
            slot.evict(waits);
        }
    }
}

impl Connection {
    /// What the requests on this connection say of it.
    #[must_use]
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter { all: Arc::clone(&self.all), slot: Arc::clone(&self.slot) }
    }

    /// Drives `work` until it is done or the connection is told to end.
    pub(crate) async fn drive<F: Future + Unpin>(&self, work: &mut F) -> End<F::Output> {
        let mut told = std::pin::pin!(self.slot.told.notified());
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(result) = Pin::new(&mut *work).poll(context) {
                    return Poll::Ready(End::Done(result));
                }
                if told.as_mut().poll(context).is_pending() {
                    return if self.must_end() { Poll::Ready(End::Told) } else { Poll::Pending };
                }
                // Once more: `work` looks what is left to do now that it has been told.
                told.set(self.slot.told.notified());
            }
        })
        .await
    }

    /// A place among the handshakes, waited for if need be.
    pub(crate) async fn handshake_place(&self) -> Option<Place> {
        let slot = Arc::clone(&self.slot);
        self.all.handshakes.take(Ask { slot, stranger: true, begun: false, units: 1 }).await
    }

    /// [`Connection::drive`] of a TLS handshake.
    pub(crate) async fn shake<F: Future + Unpin>(&self, handshake: &mut F) -> End<F::Output> {
        self.slot.shaking.store(true, Ordering::SeqCst);
        let end = self.drive(handshake).await;
        self.slot.shaking.store(false, Ordering::SeqCst);
        end
    }

    /// Whether the client's head was refused a place, or waited for one until its time was over.
    #[must_use]
    pub(crate) fn head_got_no_place(&self) -> bool {
        self.slot.waits.load(Ordering::SeqCst) || self.slot.refused.load(Ordering::SeqCst)
    }

    /// Whether the last answer was given before its request had been read to its end.
    #[must_use]
    pub(crate) fn leaves_unread(&self) -> bool {
        self.slot.unread.load(Ordering::SeqCst)
    }

    fn must_end(&self) -> bool {
        let kind = self.slot.kind();
        if kind == EVICTED {
            return true;
        }
        match self.all.stop.load(Ordering::SeqCst) {
            stop if stop == Stop::No as u8 => false,
            stop if stop == Stop::Now as u8 => true,
            stop if self.slot.shaking.load(Ordering::SeqCst) => stop == Stop::Shaken as u8,
            _ => kind == IDLE && self.slot.drained.load(Ordering::SeqCst),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.all.list();
        open.shares.remove(self.slot.source, 1);
        let slots = &mut open.slots;
        let index = self.slot.index.load(Ordering::Relaxed);
        slots.swap_remove(index);
        if let Some(moved) = slots.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        // Room for a crowd is given back when the crowd has gone.
        if slots.capacity() > 1_024 && slots.len() < slots.capacity() / 4 {
            let room = slots.len() * 2;
            slots.shrink_to(room);
        }
    }
}

/// Notes how far a connection's request has come.
#[derive(Debug)]
pub(crate) struct Reporter {
    all: Arc<Connections>,
    slot: Arc<Slot>,
}

impl Reporter {
    /// A request's head has been read.
    pub(crate) fn head_read(&self) {
        self.slot.heads.fetch_add(1, Ordering::SeqCst);
    }

    /// The rest of a request's body is waited for.
    pub(crate) fn reads_body(&self) {
        self.slot.begin(BODY);
    }

    /// As much of the body has come as shows that the client is getting on.
    pub(crate) fn body_gets_on(&self) {
        self.slot.pass(BODY, BODY);
    }

    /// A place for further bytes of a body. `stranger`: the request names no key that can sign. `begun`: the
    /// body has a place already. None if too many wait.
    pub(crate) async fn body_place(&self, bytes: usize, stranger: bool, begun: bool) -> Option<Place> {
        let slot = Arc::clone(&self.slot);
        self.all.bodies.take(Ask { slot, stranger, begun, units: bytes }).await
    }

    /// The answer was given before the request had been read to its end.
    pub(crate) fn leaves_unread(&self) {
        self.slot.unread.store(true, Ordering::SeqCst);
    }

    /// A request was read completely.
    pub(crate) fn works(&self) {
        self.slot.begin_work();
    }

    /// The answer is complete. Returns whether the connection is to be closed after it.
    #[must_use]
    pub(crate) fn answers(&self) -> bool {
        self.slot.begin(ANSWERING);
        self.slot.large.load(Ordering::SeqCst) || self.all.stopping()
    }

    /// The client has taken its answer.
    pub(crate) fn answered(&self) {
        self.slot.pass(ANSWERING, IDLE);
    }

    /// Waits while too many answers have not been taken by their clients, and ends the slowest of these.
    pub(crate) async fn room_for_answers(&self) {
        const PAUSE: Duration = Duration::from_millis(10);
        while self.all.answers.overfull() {
            self.all.answers.press();
            sleep(PAUSE).await;
        }
    }

    /// An answer's bytes; long ones are counted until they have been sent.
    pub(crate) fn answer(&self, body: Vec<u8>) -> Bytes {
        if body.len() <= FREE_BYTES {
            return Bytes::from(body);
        }
        let place = self.all.answers.take_anyway(&self.slot, body.len());
        Bytes::from_owner(Untaken { body, _place: place })
    }
}

/// An answer's bytes until they have been sent.
struct Untaken {
    body: Vec<u8>,
    _place: Place,
}

impl AsRef<[u8]> for Untaken {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// A stream over a TCP socket.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The socket.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

type Waiting = Pin<Box<dyn Future<Output = Option<Place>> + Send>>;

/// A stream that counts what it reads before a head is whole, knows when an answer has been taken, and keeps back
/// what the HTTP library says of its own accord.
pub(crate) struct Watched<S> {
    stream: S,
    all: Arc<Connections>,
    slot: Arc<Slot>,
    /// Bytes of the head so far, and which head.
    head: usize,
    heads: u32,
    /// Bytes that the head may have with the places it holds.
    room: usize,
    waiting: Option<Waiting>,
    places: Vec<Place>,
    /// Status of the refusal that was kept back.
    refusal: Option<u16>,
    /// Ends when the client has had [`ANSWER_TIME`] for an answer.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Socket> Watched<S> {
    /// Watches `stream` on behalf of its connection.
    pub(crate) fn new(stream: S, connection: &Connection) -> Self {
        Self {
            stream,
            all: Arc::clone(&connection.all),
            slot: Arc::clone(&connection.slot),
            head: 0,
            heads: 0,
            room: FREE_BYTES,
            waiting: None,
            places: Vec::new(),
            refusal: None,
            stalled: None,
        }
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// The status with which the HTTP library would have refused what it could not read. Its answer has no body, so
    /// it was kept back, and the stream is still open for a better one.
    pub(crate) fn refusal(&self) -> Option<u16> {
        self.refusal
    }

    /// A head that is not free any more needs places, which it keeps until the connection ends: each doubles what
    /// it may have, as the buffer that it is read into doubles.
    fn poll_head_place(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (all, slot, units) = (&self.all, &self.slot, self.room);
        let waiting = self.waiting.get_or_insert_with(|| {
            slot.pass(IDLE, IDLE);
            let ask = Ask { slot: Arc::clone(slot), stranger: true, begun: units > FREE_BYTES, units };
            let heads = Arc::clone(&all.heads);
            Box::pin(async move { heads.take(ask).await })
        });
        let place = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        self.slot.large.store(true, Ordering::SeqCst);
        let Some(place) = place else {
            self.slot.refused.store(true, Ordering::SeqCst);
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        };
        self.places.push(place);
        self.room *= 2;
        Poll::Ready(Ok(()))
    }

    /// Whether bytes to be written belong to no answer: no request is being answered, so they are the library's
    /// refusal of what it could not read.
    fn keeps_back(&mut self, bytes: &[u8]) -> bool {
        if self.refusal.is_none() && self.slot.kind() == IDLE {
            let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
            self.refusal = status.and_then(|digits| digits.parse().ok());
        }
        self.refusal.is_some()
    }

    /// While stopping: is there anything in the socket that no readiness event has reported yet?
    fn look(&self) {
        if self.all.stopping() {
            let mut byte = [0; 1];
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let found = rustix::net::recv(self.stream.tcp(), &mut byte[..], flags);
            self.slot.drained.store(!matches!(found, Ok((1.., _))), Ordering::SeqCst);
        }
    }

    /// Gives up on a client that does not take its answer.
    fn stall<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(ANSWER_TIME)));
            if stalled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }

    fn answer_taken(&mut self) {
        self.stalled = None;
        if self.slot.pass(ANSWERING, IDLE) {
            self.look();
        }
    }
}

impl<S: Socket> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let heads = this.slot.heads.load(Ordering::SeqCst);
        if this.heads != heads {
            (this.heads, this.head) = (heads, 0);
        }
        let idle = this.slot.kind() == IDLE;
        while idle && this.head > this.room && this.room < HEAD_BYTES {
            ready!(this.poll_head_place(context))?;
        }
        let before = buffer.filled().len();
        let polled = if buffer.remaining() <= READ_BYTES {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(READ_BYTES));
            let polled = Pin::new(&mut this.stream).poll_read(context, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            polled
        };
        if polled.is_pending() {
            this.look();
        }
        if idle {
            this.head += buffer.filled().len() - before;
        }
        polled
    }
}

impl<S: Socket> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.keeps_back(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.stall(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.keeps_back(slices.first().map_or(&[], |slice| slice)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.stall(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            this.answer_taken();
        }
        this.stall(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.stall(context, polled)
    }
}

/// Raises the limit of open files as far as it may be raised, and answers it.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files");
            limit.current
        }
    };
    // Without a limit there are as many as we want.
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    /// A source that fills all places with idle connections loses its own; others keep what they had before,
    /// however long it has been idle.
    #[tokio::test]
    async fn a_crowd_of_one_source_makes_room_itself() {
        const TOTAL: usize = 60;
        let all = Arc::new(Connections::with_places(u32::try_from(TOTAL).unwrap()));
        let mut kept = Vec::new();
        for number in 0..20 {
            kept.push(all.enter(source(10 + number)).await);
        }
        let mut crowd = Vec::new();
        for _ in 0..500 {
            let mut entering = Box::pin(all.enter(source(1)));
            let entered = tokio::select! {
                biased;
                entered = &mut entering => entered,
                () = std::future::ready(()) => {
                    // Those that were told to go do.
                    crowd.retain(|connection: &Connection| !connection.must_end());
                    entering.await
                }
            };
            crowd.push(entered);
        }
        assert!(kept.iter().all(|connection| !connection.must_end()));
        assert_eq!((all.open(), crowd.len()), (TOTAL, TOTAL - kept.len()));
        assert_eq!(all.evicted(), 500 - 40);
        // And they come in beside it.
        let mut entering = Box::pin(all.enter(source(99)));
        let newcomer = tokio::select! {
            biased;
            entered = &mut entering => entered,
            () = std::future::ready(()) => {
                crowd.retain(|connection| !connection.must_end());
                entering.await
            }
        };
        assert!(kept.iter().all(|connection| !connection.must_end()) && !newcomer.must_end());
    }
}
