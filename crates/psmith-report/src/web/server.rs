//! Server of the web board: connections, requests, and the stream of changes, all in one thread. Never changes a run.
//!
//! No client can block another: heads are bounded in size and time, connections in number. A browser that does not read
//! holds one frame of the stream; the kernel then closes its connection.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::web::access::{AccessCheck, HttpRefusal};
use crate::web::jobs::{Query, ROWS_MAX};
use crate::web::metrics;
use crate::web::output_backlog::OutputBacklog;
use crate::web::state::WebState;
use crate::web_events::WebEvent;

/// The greatest size of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The longest time until a request's head is complete.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// The time after which a browser that has not taken what was sent is disconnected.
const UNREAD_MAX_MS: u32 = 30_000;
/// The shortest time between two frames of the stream.
const FRAME_EVERY: Duration = Duration::from_millis(400);
/// The time without a change after which a frame keeps the connection alive.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// The longest time that browsers may take to receive the end of the run.
const FAREWELL_MAX: Duration = Duration::from_millis(1000);
/// The time without a request after which browsers have all that they need.
const STILL_FOR: Duration = Duration::from_millis(100);

const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The state that all requests share.
struct WebShared {
    access: AccessCheck,
    state: RefCell<WebState>,
    changes: watch::Sender<u64>,
    /// The last frame, for every connection that needs the same one.
    frame: RefCell<(u64, Bytes)>,
    connections: Cell<usize>,
    /// The greatest number of connections; more are closed at once.
    connections_max: usize,
    streams: Rc<Cell<usize>>,
    /// The number of requests answered so far.
    requests: Cell<u64>,
}

/// Serves until the events end, and a moment longer.
pub(super) fn serve(
    listener: TcpListener,
    access: AccessCheck,
    connections_max: usize,
    mut inbox: UnboundedReceiver<WebEvent>,
    output: &OutputBacklog,
) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let board = Rc::new(WebShared {
        access,
        state: RefCell::new(WebState::new()),
        changes: watch::Sender::new(0),
        frame: RefCell::default(),
        connections: Cell::new(0),
        connections_max,
        streams: Rc::default(),
        requests: Cell::new(0),
    });
    LocalSet::new().block_on(&runtime, async {
        if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
            tokio::task::spawn_local(accept(listener, Rc::clone(&board)));
        }
        let mut batch = Vec::new();
        while inbox.recv_many(&mut batch, 1024).await > 0 {
            let mut state = board.state.borrow_mut();
            for event in batch.drain(..) {
                if let WebEvent::Output { bytes, .. } = &event {
                    output.let_go(bytes.len());
                }
                state.on(event);
            }
            board.changes.send_replace(state.version);
        }
        board.state.borrow_mut().end();
        board.changes.send_replace(board.state.borrow().version);
        let farewell = async {
            while board.streams.get() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
            // The last frame has been passed to its connection, which still has to write it; and a page that has it
            // requests its charts once more.
            let mut seen = None;
            while board.connections.get() > 0 && seen != Some(board.requests.get()) {
                seen = Some(board.requests.get());
                sleep(STILL_FOR).await;
            }
        };
        let _ = timeout(FAREWELL_MAX, farewell).await;
    });
}

async fn accept(listener: tokio::net::TcpListener, board: Rc<WebShared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free: the jobs need them more.
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if board.connections.get() >= board.connections_max {
            continue;
        }
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MAX_MS);
        let _ = stream.set_nodelay(true);
        let count = Counted::new(&board);
        let board = Rc::clone(&board);
        tokio::task::spawn_local(async move {
            let _count = count;
            let service = service_fn(move |request| {
                let answer = answer(&board, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
            // A broken connection concerns the browser alone.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A connection, counted while it lasts.
struct Counted(Rc<WebShared>);

impl Counted {
    fn new(board: &Rc<WebShared>) -> Counted {
        board.connections.set(board.connections.get() + 1);
        Counted(Rc::clone(board))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

fn answer(board: &Rc<WebShared>, request: &Request<Incoming>) -> Response<ResponseBody> {
    board.requests.set(board.requests.get() + 1);
    let path = request.uri().path();
    if let Err(refusal) = board.access.check(request.method(), path, request.headers()) {
        return refused(refusal);
    }
    let query = request.uri().query().unwrap_or_default();
    match path {
        "/" => full("text/html; charset=utf-8", include_str!("assets/index.html")),
        "/board.js" => full("text/javascript; charset=utf-8", include_str!("assets/board.js")),
        "/board.css" => full("text/css; charset=utf-8", include_str!("assets/board.css")),
        "/style.css" => full("text/css; charset=utf-8", crate::STYLE),
        "/icon.svg" => full("image/svg+xml", include_str!("assets/icon.svg")),
        "/metrics" => full("text/plain; version=0.0.4; charset=utf-8", metrics::text(&board.state.borrow())),
        "/api/live" => live(board),
        "/api/jobs" => json(&board.state.borrow().list(&parse(query))),
        _ => rest(board, path),
    }
}

fn rest(board: &Rc<WebShared>, path: &str) -> Response<ResponseBody> {
    let state = board.state.borrow();
    if let Some(name) = path.strip_prefix("/api/chart/")
        && let Some(svg) = state.chart(name)
    {
        return full("image/svg+xml", svg);
    }
    if let Some(job) = path.strip_prefix("/api/job/")
        && let Some(job) = job.parse().ok().and_then(|job| state.job(job))
    {
        return json(&job);
    }
    refused((StatusCode::NOT_FOUND, "not here\n"))
}

fn live(board: &Rc<WebShared>) -> Response<ResponseBody> {
    let (sender, receiver) = channel(1);
    tokio::task::spawn_local(stream(Rc::clone(board), sender));
    board.streams.set(board.streams.get() + 1);
    response("text/event-stream", ResponseBody::Live(receiver, Rc::clone(&board.streams)))
}

/// Sends a frame after each change, but not too often: as fast as the slower of the two, run and browser.
async fn stream(board: Rc<WebShared>, sender: Sender<Bytes>) {
    let mut changes = board.changes.subscribe();
    loop {
        changes.mark_unchanged();
        let frame = board.frame();
        let over = board.state.borrow().over;
        if sender.send(frame).await.is_err() || over {
            return;
        }
        sleep(FRAME_EVERY).await;
        // Running jobs' times change though nothing else does.
        let wait = if board.state.borrow().live.is_empty() { KEEP_ALIVE_EVERY } else { FRAME_EVERY };
        let _ = timeout(wait, changes.changed()).await;
    }
}

impl WebShared {
    fn frame(&self) -> Bytes {
        let mut state = self.state.borrow_mut();
        let tick = state.now().as_millis() / FRAME_EVERY.as_millis();
        // A frame is made again when something changed, or when its times are old.
        let key = state.version.wrapping_mul(1 << 20).wrapping_add(u64::try_from(tick).unwrap_or(0));
        let mut frame = self.frame.borrow_mut();
        if frame.0 != key || frame.1.is_empty() {
            *frame = (key, format!("data: {}\n\n", state.overview()).into());
        }
        frame.1.clone()
    }
}

/// Parses the parameters of a list's query; unknown ones are ignored.
fn parse(query: &str) -> Query {
    let mut parsed = Query { count: ROWS_MAX, ..Query::default() };
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        match name {
            "status" if !value.is_empty() => parsed.status = Some(value),
            "q" => parsed.text = value,
            "from" => parsed.from = value.parse().unwrap_or(0),
            "count" => parsed.count = value.parse().unwrap_or(ROWS_MAX),
            _ => {}
        }
    }
    parsed
}

/// Returns a value of a query without its percent signs.
pub(super) fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = value.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn json(value: &serde_json::Value) -> Response<ResponseBody> {
    full("application/json", value.to_string())
}

fn refused((status, why): HttpRefusal) -> Response<ResponseBody> {
    let mut response = full("text/plain; charset=utf-8", why);
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn full(kind: &'static str, content: impl Into<Bytes>) -> Response<ResponseBody> {
    response(kind, ResponseBody::Full(Some(content.into())))
}

fn response(kind: &'static str, answer: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The body of an answer.
enum ResponseBody {
    /// A whole body.
    Full(Option<Bytes>),
    /// Frames as they are made, and the count of the streams.
    Live(Receiver<Bytes>, Rc<Cell<usize>>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            ResponseBody::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ResponseBody::Live(frames, _) => {
                frames.poll_recv(context).map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
            }
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            ResponseBody::Full(bytes) => {
                hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            ResponseBody::Live(..) => hyper::body::SizeHint::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let ResponseBody::Live(_, streams) = self {
            streams.set(streams.get() - 1);
        }
    }
}
