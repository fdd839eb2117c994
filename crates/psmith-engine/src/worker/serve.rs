//! The worker's loop: exchange hellos with the host, then job in, result out, until there are no more.
//!
//! A result is sent before the next job is read, so a worker that dies takes no finished job with it.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use psmith_sys::executable::FunctionEntry;
use psmith_sys::shared::SharedMapping;
use psmith_sys::{abort, signals, socket, stack_overflow, subreaper};

use crate::channel::messages::{CallEnd, FromWorker, JobRequest, PeerIdentity, ToWorker};
use crate::channel::shared_region::SharedRegion;
#[cfg(feature = "authenticated")]
use crate::function::authenticated::Secret;
use crate::function::call::{Call, CallResult};
use crate::function::first_call::FirstInput;
use crate::function::registry::Function;
use crate::worker::context;
use crate::worker::context::HostChannel;
use crate::worker::panics;
use crate::worker::process_state;
use crate::worker::set_up;
use crate::worker::set_up::SetUpFailure;
use crate::worker::syscall_threshold::SyscallThreshold;
use crate::worker::usage_meter::UsageMeter;

/// The variable that makes this program image a worker where the warden cannot fork one; its value is the nonce.
pub(crate) const MARKER: &str = "PSMITH_WORKER";

/// Does once, in the process that workers are copies of, what each of them would do for itself: a forked child has to
/// copy every page that it writes, and to map every page whose code it runs.
pub(crate) fn prepare() {
    let _ = psmith_sys::executable::build_id();
    // The features of the processor: in a virtual machine they are a question to its hypervisor.
    crate::channel::frame::prepare();
    panics::prepare();
    // Without them an overflow, and a panic that aborts, are reported as their signals.
    let _ = stack_overflow::prepare();
    let _ = abort::prepare();
    // This makes its buffer.
    let _ = io::stdout();
}

/// Runs a worker from the moment at which it is a copy of the warden. `has_job`: its job is in the channel already, and
/// it has no region.
pub(crate) fn forked(plan: set_up::SetUpPlan<'_>, channel: BorrowedFd<'_>, nonce: u64, has_job: bool) -> ! {
    let own = catch_unwind(AssertUnwindSafe(|| {
        // A copy that belongs to this code; the original is closed with all other descriptors.
        let own = rustix::io::fcntl_dupfd_cloexec(channel, 3)?;
        let done = set_up::set_up(plan, own.as_fd());
        Ok::<_, rustix::io::Errno>((own, done))
    }));
    match own {
        Ok(Ok((channel, done))) => serve(channel, nonce, has_job, done),
        _ => psmith_sys::exit::now(125),
    }
}

/// Runs a worker that was executed rather than forked: its channel is standard input.
pub(crate) fn executed(nonce: &str) -> ! {
    let end = executed_channel(nonce);
    match end {
        Ok((channel, nonce)) => serve(channel, nonce, false, Ok(())),
        Err(error) => {
            let _ = writeln!(io::stderr(), "psmith: error: {error}");
            psmith_sys::exit::now(125)
        }
    }
}

fn executed_channel(nonce: &str) -> io::Result<(OwnedFd, u64)> {
    let no_host =
        || io::Error::other(format!("{MARKER} is set, but no psmith waits for this process: unset it"));
    let nonce = u64::from_str_radix(nonce, 16).map_err(|_| no_host())?;
    let stdin = io::stdin();
    // The host made the pair, so the peer has an id; this process is its warden's child.
    socket::peer_pid(stdin.as_fd()).map_err(|_| no_host())?;
    let channel = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    // A program that the job starts may use psmith, too.
    psmith_sys::environment::forget(MARKER);
    Ok((channel, nonce))
}

/// Serves until the host has no more jobs or is gone.
fn serve(channel: OwnedFd, nonce: u64, has_job: bool, set_up: Result<(), SetUpFailure>) -> ! {
    // As std does before `main`, which never runs here.
    let _ = signals::ignore(rustix::process::Signal::PIPE.as_raw());
    let _ = rustix::thread::set_name(c"psmith-worker");
    let code = match catch_unwind(AssertUnwindSafe(|| serve_jobs(channel, nonce, has_job, set_up))) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            let _ = writeln!(io::stderr(), "psmith: error: worker: {error}");
            125
        }
        Err(_) => 125,
    };
    let _ = io::stdout().flush();
    psmith_sys::exit::flush_c_streams();
    psmith_sys::exit::now(code)
}

fn serve_jobs(
    channel: OwnedFd,
    nonce: u64,
    has_job: bool,
    set_up: Result<(), SetUpFailure>,
) -> io::Result<()> {
    let channel = Arc::new(HostChannel::new(channel));
    // The channel is never dropped: the process's end closes it.
    std::mem::forget(Arc::clone(&channel));
    if let Err(failed) = set_up {
        return channel.send(&FromWorker::SetUpFailed { step: failed.step.code(), errno: failed.errno }, &[]);
    }
    let region = if has_job { None } else { region(&channel)? };
    panics::install();
    // Without them an overflow, and a panic that aborts, are reported as their signals.
    let _ = channel.watch_stack();
    let _ = channel.watch_aborts();
    let ours = PeerIdentity::new(nonce);
    channel.send(&FromWorker::Hello { credentials: ours, pid: own_pid() }, &[])?;
    let mut first_calls = Vec::new();
    let mut meter = UsageMeter::default();
    let mut agreed = false;
    loop {
        let Some((message, frame)) = channel.next_control_message()? else { return Ok(()) };
        let was_long = match message {
            ToWorker::Hello {
                credentials,
                frame_bytes_max,
                #[cfg(feature = "authenticated")]
                secret,
            } => {
                ours.check(credentials).map_err(io::Error::other)?;
                agreed = true;
                channel.allow(frame_bytes_max);
                #[cfg(feature = "authenticated")]
                secret.into_iter().for_each(Secret::adopt);
                false
            }
            ToWorker::First(_) | ToWorker::Job(_) | ToWorker::Batch(..) if !agreed => {
                return Err(io::Error::other("a job came before the hello"));
            }
            ToWorker::First(function) => {
                first_calls.push((function, FirstInput { bytes: frame.bytes, from: frame.body }));
                false
            }
            ToWorker::Job(request) => {
                let first_calls = std::mem::take(&mut first_calls);
                let last = request.last;
                let input = (frame.bytes, frame.body);
                let was_long = work(&channel, region.as_ref(), request, input, first_calls, &mut meter)?;
                if last {
                    return Ok(());
                }
                was_long
            }
            ToWorker::Batch(first, _) => {
                let Some(region) = &region else { return Err(io::Error::other("a batch without a region")) };
                let first_calls = std::mem::take(&mut first_calls);
                let inputs = (frame.bytes, frame.body);
                crate::worker::batch::work(&channel, region, &first, inputs, first_calls, &mut meter)?
            }
            ToWorker::Leave => {
                crate::worker::state::exit();
                return Ok(());
            }
            // Late messages for a job that is over.
            ToWorker::Message { .. } | ToWorker::UpToDate { .. } | ToWorker::Room { .. } => false,
        };
        if was_long && !process_state::are_removed() {
            crate::worker::state::exit();
            return Ok(());
        }
    }
}

/// Receives what was sent before this process was spawned: one byte, and with it the region, where there is one.
fn region(channel: &HostChannel) -> io::Result<Option<SharedRegion>> {
    let mut files = Vec::new();
    if socket::recv(channel, &mut [0], &mut files)? == 0 {
        // The host is gone already.
        return Ok(None);
    }
    files.pop().map(|file| Ok(SharedRegion::new(SharedMapping::open(file)?))).transpose()
}

/// Finds the functions that are called before the first job.
pub(super) fn found(calls: Vec<(Function, FirstInput)>) -> Result<Vec<(FunctionEntry, FirstInput)>, String> {
    calls.into_iter().map(|(function, input)| Ok((function.find()?, input))).collect()
}

/// Runs one job and sends its result. Returns whether it took long enough to have changed something in the process.
fn work(
    channel: &Arc<HostChannel>,
    region: Option<&SharedRegion>,
    request: JobRequest,
    (bytes, body): (Vec<u8>, usize),
    first_calls: Vec<(Function, FirstInput)>,
    meter: &mut UsageMeter,
) -> io::Result<bool> {
    let job = request.job;
    let found = found(first_calls);
    let entries = found.and_then(|first_calls| Ok((first_calls, request.function.find()?)));
    let (first_calls, entry) = match entries {
        Ok(entries) => entries,
        Err(reason) => return channel.answer(job, CallEnd::Undecodable(reason), &[], None).map(|()| false),
    };
    if !request.last {
        meter.begin(Instant::now(), region);
    }
    if let Some(region) = region {
        // The host reads the region when it wants to know.
        let _ = region.begin_next();
    } else if !request.last {
        // For an only job its start implies this, and the host is woken once less.
        channel.send(&FromWorker::Began { job }, &[])?;
    }
    context::begin(channel, &request);
    let own = own_pid();
    let mut call = Call::new(bytes, body);
    // After the only job of a process no check is made.
    let mut threshold = (!request.last).then(SyscallThreshold::for_single_job);
    threshold.iter_mut().for_each(SyscallThreshold::begin);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        for (call, mut input) in first_calls {
            call.call(&mut input);
        }
        if !request.last {
            process_state::remember();
        }
        entry.call(&mut call);
    }));
    let was_long = threshold.is_some_and(|threshold| threshold.is_long());
    end_copy_of(own);
    // What it printed must be there before its end is reported.
    let _ = io::stdout().flush();
    let answered = answer(channel, job, ended, call, (!request.last).then_some(&*meter));
    context::end();
    answered.map(|()| was_long)
}

/// Ends a forked copy that returned from its job. It must neither reply nor read on: both are the worker's, whose next
/// job it would take.
pub(super) fn end_copy_of(worker: u32) {
    if own_pid() != worker {
        let _ = writeln!(
            io::stderr(),
            "psmith: warning: a copy of worker {worker} came back from its job, and ends"
        );
        psmith_sys::exit::now(125);
    }
}

/// Returns the id of this process, by a call of the kernel and none of the C library, whose code would have to be
/// mapped.
pub(super) fn own_pid() -> u32 {
    rustix::process::getpid().as_raw_pid().unsigned_abs()
}

/// Reports how a call ended.
fn answer(
    channel: &HostChannel,
    job: u64,
    ended: std::thread::Result<()>,
    call: Call,
    meter: Option<&UsageMeter>,
) -> io::Result<()> {
    let (how, value) = limited_to_frame(end_of_call(ended, call.answer), channel.bytes_max());
    let usage = meter.filter(|_| how != CallEnd::Value).and_then(UsageMeter::used);
    channel.answer(job, how, &value, usage)
}

/// Returns how a call ended, with its value.
pub(super) fn end_of_call(ended: std::thread::Result<()>, answer: CallResult) -> (CallEnd, Vec<u8>) {
    if let Err(payload) = ended {
        let panics::Panicked { message, location, backtrace } = panics::taken(payload.as_ref());
        return (CallEnd::Panic { message, location, backtrace }, Vec::new());
    }
    match answer {
        CallResult::Value(value) => (CallEnd::Value, value),
        CallResult::Error(text, Some(error)) => (CallEnd::Error { text, itself: true }, error),
        CallResult::Error(text, None) => (CallEnd::Error { text, itself: false }, Vec::new()),
        CallResult::Undecodable(error) if error.is_forged() => {
            (CallEnd::Forged(error.to_string()), Vec::new())
        }
        CallResult::Undecodable(error) => (CallEnd::Undecodable(error.to_string()), Vec::new()),
        CallResult::Unencodable(reason) => (CallEnd::Unencodable(reason), Vec::new()),
        CallResult::Pending => (CallEnd::Undecodable("it was not called".into()), Vec::new()),
    }
}

/// Returns how a call ended, with its texts cut to what a frame holds, or an error in its place where the value is too
/// long for one.
pub(super) fn limited_to_frame((how, value): (CallEnd, Vec<u8>), most: u64) -> (CallEnd, Vec<u8>) {
    // The rest of the head takes some bytes, too.
    let room = usize::try_from(most.saturating_sub(64)).unwrap_or(usize::MAX);
    let how = how.cut_to(room);
    if value.len() <= room - how.text_bytes() {
        return (how, value);
    }
    if let CallEnd::Error { text, .. } = how {
        return (CallEnd::Error { text, itself: false }, Vec::new());
    }
    let reason = format!("{} bytes are more than the limit of {most} (max_message_bytes)", value.len());
    (CallEnd::Unencodable(reason).cut_to(room), Vec::new())
}

/// Returns whether this process is an orphan: its parent is no longer the one that spawned it.
pub(super) fn is_orphan(warden: u32) -> bool {
    subreaper::parent() != warden
}
