//! The connections of a listener: how many may be open, which one makes room for another, what they may
//! keep in memory, and how they end.
//!
//! # Places
//!
//! At most [`PLACES`] connections are open, fewer if the process may not open as many files. When all
//! places are taken a new connection is served all the same: of a sample of those that wait for their
//! client (nothing asked yet, or a request that is not whole) the one that has waited longest is ended.
//! A connection whose request was read to its end is never ended for that. Ten thousand idle or slow
//! connections therefore keep nobody out.
//!
//! # Memory
//!
//! | what | at most |
//! |---|---|
//! | a connection: task, buffers, head and body up to [`FREE_BYTES`] each, their fields | 128 KiB |
//! | heads longer than that: [`HEADS`] of [`HEAD_BYTES`] | 64 MiB |
//! | bodies longer than that: [`BODIES_KIB`] | 64 MiB |
//! | answers longer than that, until the client has taken them: [`ANSWERS_BYTES`] | 64 MiB |
//!
//! With all 10,000 places that is 1.22 GiB + 192 MiB = 1.41 GiB in the worst case that anybody can make;
//! parsing a long body takes a few times its length for as long as one thread works on it. What an idle
//! connection takes is measured by `tests/overload.rs`: 33 KiB.
//!
//! Who needs a place for a long head or body waits within the time that heads and bodies have anyway and
//! is then answered 503 `ServiceUnavailable`.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::net::RecvFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tracing::warn;

/// Connections open at once, if the process may open as many files.
pub const PLACES: usize = 10_000;
/// Files that are left for everything but connections: database, logs, the admin listener.
const OTHER_FILES: usize = 512;
/// Bytes of a request's head: certificates can make the query long.
pub const HEAD_BYTES: usize = 256 * 1024;
/// Heads, bodies and answers up to this size need nobody's leave.
pub const FREE_BYTES: usize = 16 * 1024;
/// Heads above [`FREE_BYTES`] at once.
pub const HEADS: usize = 256;
/// KiB of bodies above [`FREE_BYTES`] at once.
pub const BODIES_KIB: usize = 64 * 1024;
/// Bytes of answers above [`FREE_BYTES`] that clients have not taken, before new work waits for them.
pub const ANSWERS_BYTES: usize = 64 * 1024 * 1024;
/// For a client to take an answer that does not fit into the socket.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// While there is no room for answers, a client that has not taken its own for this long is let go.
const SLOW_READER_MS: u64 = 1_000;
/// Bytes read at once. More would let every connection's buffer grow and stay large.
const READ_BYTES: usize = 8 * 1024;
/// Connections looked at to find one that has waited long.
const SAMPLE: usize = 64;
/// A connection that is to make room has this long, then another one is ended as well.
const ROOM_TIME: Duration = Duration::from_millis(20);

/// What a connection does; stands in the low bits of [`Slot::state`], above it the time since when.
const KIND: u64 = 0b111;
const KIND_BITS: u32 = 3;
/// Waits for a request: none of it is there, or not all of its head.
const IDLE: u64 = 0;
/// Waits for the rest of a request's body.
const BODY: u64 = 1;
/// Has a whole request, which is worked on.
const BUSY: u64 = 2;
/// Has an answer, which the client is taking.
const ANSWERING: u64 = 3;
/// Was chosen to make room.
const EVICTED: u64 = 4;

/// How far the stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stop {
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
pub struct Connections {
    started: Instant,
    total: u32,
    places: Arc<Semaphore>,
    heads: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    untaken: AtomicUsize,
    open: Mutex<Vec<Arc<Slot>>>,
    evicted: AtomicU64,
    warned_ms: AtomicU64,
    stop: AtomicU8,
}

/// One connection as the others see it.
#[derive(Debug)]
struct Slot {
    /// Kind and, above it, milliseconds.
    state: AtomicU64,
    /// Heads read to their end.
    heads: AtomicU32,
    /// The head was too long to be free: the connection ends with its answer, and its memory with it.
    large: AtomicBool,
    /// The head waits for a place.
    waits: AtomicBool,
    /// TLS is being agreed on.
    shaking: AtomicBool,
    /// Since the stop began nothing was found in the socket.
    drained: AtomicBool,
    /// Place in [`Connections::open`].
    index: AtomicUsize,
    told: Notify,
}

/// An open connection: its place is given back when this is dropped.
#[derive(Debug)]
pub struct Connection {
    all: Arc<Connections>,
    slot: Arc<Slot>,
    _place: OwnedSemaphorePermit,
}

/// How a connection came to its end.
#[derive(Debug)]
pub enum End<T> {
    /// By itself.
    Done(T),
    /// It was told to.
    Told,
}

impl Connections {
    /// Room for as many connections as the limit of open files allows, which is raised if it can be.
    #[must_use]
    pub fn new() -> Self {
        let files = raise_file_limit();
        let total = files.saturating_sub(OTHER_FILES).clamp(16, PLACES);
        if total < PLACES {
            warn!(files, connections = total, "few files may be open: raise the limit (LimitNOFILE)");
        }
        Self::with_places(u32::try_from(total).unwrap_or(u32::MAX))
    }

    fn with_places(total: u32) -> Self {
        Self {
            started: Instant::now(),
            total,
            places: Arc::new(Semaphore::new(total as usize)),
            heads: Arc::new(Semaphore::new(HEADS)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            untaken: AtomicUsize::new(0),
            open: Mutex::new(Vec::new()),
            evicted: AtomicU64::new(0),
            warned_ms: AtomicU64::new(0),
            stop: AtomicU8::new(Stop::No as u8),
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.list().len()
    }

    /// Connections ended to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// A place for a new connection; somebody who waits is sent away for it if need be.
    pub async fn enter(self: &Arc<Self>) -> Connection {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return self.register(place);
            }
            self.evict(&[IDLE, BODY], 0);
            if let Ok(Ok(place)) = timeout(ROOM_TIME, Arc::clone(&self.places).acquire_owned()).await {
                return self.register(place);
            }
        }
    }

    /// Waits until every connection has ended.
    pub async fn all_ended(&self) {
        // It is never closed.
        let _ = self.places.acquire_many(self.total).await;
    }

    /// Tells every connection how it is to end.
    pub fn stop(&self, stop: Stop) {
        self.stop.store(stop as u8, Ordering::SeqCst);
        for slot in self.list().iter() {
            slot.told.notify_one();
        }
    }

    /// A place for a body of this many bytes.
    pub async fn body_place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).acquire_many_owned(kib).await.ok()
    }

    /// Waits while too many answers have not been taken by their clients, and ends the slowest of these.
    pub async fn room_for_answers(&self) {
        const PAUSE: Duration = Duration::from_millis(10);
        while self.untaken.load(Ordering::Relaxed) > ANSWERS_BYTES {
            let before = self.now_ms().saturating_sub(SLOW_READER_MS);
            self.evict(&[ANSWERING], before);
            sleep(PAUSE).await;
        }
    }

    /// An answer's bytes; long ones are counted until they have been sent.
    pub fn answer(self: &Arc<Self>, body: Vec<u8>) -> Bytes {
        if body.len() <= FREE_BYTES {
            return Bytes::from(body);
        }
        self.untaken.fetch_add(body.len(), Ordering::Relaxed);
        Bytes::from_owner(Untaken { body, all: Arc::clone(self) })
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst) != Stop::No as u8
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Connection {
        let mut open = self.list();
        let slot = Arc::new(Slot {
            state: AtomicU64::new(self.now_ms() << KIND_BITS | IDLE),
            heads: AtomicU32::new(0),
            large: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            shaking: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            index: AtomicUsize::new(open.len()),
            told: Notify::new(),
        });
        open.push(Arc::clone(&slot));
        Connection { all: Arc::clone(self), slot, _place: place }
    }

    /// Ends the connection that has been in one of these kinds of state longest, of those that have since
    /// `before` (0: however long) among a sample; among all only if the sample has none.
    fn evict(&self, kinds: &[u64], before: u64) {
        let open = self.list();
        let fits = |slot: &&Arc<Slot>| {
            let state = slot.state.load(Ordering::SeqCst);
            kinds.contains(&(state & KIND)) && (before == 0 || state >> KIND_BITS <= before)
        };
        let since = |slot: &&Arc<Slot>| slot.state.load(Ordering::SeqCst) >> KIND_BITS;
        let sample = (0..SAMPLE).filter_map(|_| open.get(fastrand::usize(..open.len().max(1))));
        let chosen =
            sample.filter(fits).min_by_key(since).or_else(|| open.iter().filter(fits).min_by_key(since));
        let Some(slot) = chosen else { return };
        let state = slot.state.load(Ordering::SeqCst);
        let ended = slot.state.compare_exchange(state, EVICTED, Ordering::SeqCst, Ordering::SeqCst);
        if !kinds.contains(&(state & KIND)) || ended.is_err() {
            return;
        }
        slot.told.notify_one();
        let ended = self.evicted.fetch_add(1, Ordering::Relaxed) + 1;
        self.warn_of_crowd(open.len(), ended);
    }

    /// Says once a minute that connections are ended to make room.
    fn warn_of_crowd(&self, open: usize, ended: u64) {
        const MINUTE_MS: u64 = 60_000;
        let (now, last) = (self.now_ms(), self.warned_ms.load(Ordering::Relaxed));
        if last == 0 || now >= last + MINUTE_MS {
            self.warned_ms.store(now.max(1), Ordering::Relaxed);
            warn!(open, ended, "connections that wait are ended to make room for others");
        }
    }
}

impl Connection {
    /// What the requests on this connection say of it.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter { all: Arc::clone(&self.all), slot: Arc::clone(&self.slot) }
    }

    /// Drives `work` until it is done or the connection is told to end.
    pub async fn drive<F: Future + Unpin>(&self, work: &mut F) -> End<F::Output> {
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

    /// [`Connection::drive`] of a TLS handshake.
    pub async fn shake<F: Future + Unpin>(&self, handshake: &mut F) -> End<F::Output> {
        self.slot.shaking.store(true, Ordering::SeqCst);
        let end = self.drive(handshake).await;
        self.slot.shaking.store(false, Ordering::SeqCst);
        end
    }

    /// Whether the client's head waited for a place until its time was over.
    #[must_use]
    pub fn head_got_no_place(&self) -> bool {
        self.slot.waits.load(Ordering::SeqCst)
    }

    fn must_end(&self) -> bool {
        let kind = self.slot.state.load(Ordering::SeqCst) & KIND;
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
        let index = self.slot.index.load(Ordering::Relaxed);
        open.swap_remove(index);
        if let Some(moved) = open.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        // Room for a crowd is given back when the crowd has gone.
        if open.capacity() > 1_024 && open.len() < open.capacity() / 4 {
            let room = open.len() * 2;
            open.shrink_to(room);
        }
    }
}

/// Notes how far a connection's request has come.
#[derive(Debug)]
pub struct Reporter {
    all: Arc<Connections>,
    slot: Arc<Slot>,
}

impl Reporter {
    /// The connections that this is one of.
    #[must_use]
    pub fn all(&self) -> &Arc<Connections> {
        &self.all
    }

    /// A request's head has been read.
    pub fn head_read(&self) {
        self.slot.heads.fetch_add(1, Ordering::SeqCst);
    }

    /// The rest of a request's body is waited for.
    pub fn reads_body(&self) {
        self.slot.state.store(self.all.now_ms() << KIND_BITS | BODY, Ordering::SeqCst);
    }

    /// A request is there to its end.
    pub fn works(&self) {
        self.slot.state.store(BUSY, Ordering::SeqCst);
    }

    /// The answer is there. Whether the connection is to end with it.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.slot.state.store(self.all.now_ms() << KIND_BITS | ANSWERING, Ordering::SeqCst);
        self.slot.large.load(Ordering::SeqCst) || self.all.stopping()
    }
}

/// An answer's bytes until they have been sent.
struct Untaken {
    body: Vec<u8>,
    all: Arc<Connections>,
}

impl AsRef<[u8]> for Untaken {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.all.untaken.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

/// A stream over a TCP socket.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
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

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A stream that counts what it reads before a head is whole, and knows when an answer has been taken.
pub struct Watched<S> {
    stream: S,
    all: Arc<Connections>,
    slot: Arc<Slot>,
    /// Bytes of the head so far, and which head.
    head: usize,
    heads: u32,
    waiting: Option<Waiting>,
    place: Option<OwnedSemaphorePermit>,
    /// Ends when the client has had [`ANSWER_TIME`] for an answer.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Socket> Watched<S> {
    /// Watches `stream` on behalf of its connection.
    pub fn new(stream: S, connection: &Connection) -> Self {
        Self {
            stream,
            all: Arc::clone(&connection.all),
            slot: Arc::clone(&connection.slot),
            head: 0,
            heads: 0,
            waiting: None,
            place: None,
            stalled: None,
        }
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// A head that is not free any more needs a place, which it keeps until the connection ends.
    fn poll_head_place(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let heads = &self.all.heads;
        let waiting =
            self.waiting.get_or_insert_with(|| Box::pin(Arc::clone(heads).acquire_owned()) as Waiting);
        self.slot.waits.store(true, Ordering::SeqCst);
        let place = ready!(waiting.as_mut().poll(context)).map_err(io::Error::other)?;
        self.slot.waits.store(false, Ordering::SeqCst);
        self.slot.large.store(true, Ordering::SeqCst);
        self.waiting = None;
        self.place = Some(place);
        Poll::Ready(Ok(()))
    }

    /// While we stop: is there anything in the socket that no event has told us of yet?
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
        let state = self.slot.state.load(Ordering::SeqCst);
        if state & KIND == ANSWERING {
            let idle = self.all.now_ms() << KIND_BITS | IDLE;
            // Should it have been chosen to make room meanwhile, it stays chosen.
            let _ = self.slot.state.compare_exchange(state, idle, Ordering::SeqCst, Ordering::SeqCst);
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
        let idle = this.slot.state.load(Ordering::SeqCst) & KIND == IDLE;
        if idle && this.head > FREE_BYTES && this.place.is_none() {
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
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.stall(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
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
