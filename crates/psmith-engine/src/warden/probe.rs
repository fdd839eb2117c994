//! Probes that test whether a warden can run here, by starting one for a moment.
//!
//! It is started as every warden is, sends its hello, forks a keeper if asked, and is dismissed. It starts no job: the
//! keeper is asked to execute a program that does not exist, and has to report that.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use psmith_sys::socket;
use psmith_sys::spawn::ChildStep;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::warden::client::{Introduction, Warden, nonce};
use crate::warden::link::{Link, ReceivedPacket};
use crate::warden::messages::{Holding, Key, NONCE_VARIABLE, Start, ToHost, ToWarden};

/// The time after which an answer is not expected any more.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A path at which no program can exist, because `/dev/null` is no directory.
const NO_PROGRAM: &[u8] = b"/dev/null/no-program";

/// Tests whether this program image can be started again as a warden.
///
/// # Errors
/// The failed step, in one line, with the warden's standard error where it wrote something.
pub(crate) fn warden() -> Result<(), String> {
    probe(|_| Ok(()))
}

/// Tests whether a warden can fork a keeper, and the keeper tries to start what it is asked to.
///
/// # Errors
/// Those of [`warden`].
pub(crate) fn keeper() -> Result<(), String> {
    probe(|warden| {
        let (ours, theirs) = socket::pair().map_err(|error| format!("no socket for it: {error}"))?;
        let key = Key { job: 0, number: 0 };
        let start = Start {
            key,
            cgroup_slot: None,
            keeper: true,
            worker: None,
            streams: 0,
            program: NO_PROGRAM,
            argv: b"none\0",
            own_env: None,
            env: b"",
            dir: None,
            rlimits: Vec::new(),
        };
        let sent = warden.send(&ToWarden::Start(start), &[theirs.as_fd()]);
        sent.map_err(|error| format!("it cannot be asked for: {error}"))?;
        drop(theirs);
        let mut keeper = Link::new(ours);
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            // The warden answers in its place where it cannot be forked.
            let link = if wait_for(&[keeper.as_fd(), warden.socket()], deadline)? == 0 {
                &mut keeper
            } else {
                warden.link()
            };
            let failed = receive_matching(link, |message| match message {
                ToHost::Failed { step, errno, .. } => Some((*step, *errno)),
                _ => None,
            })?;
            match failed {
                Some((step, _)) if step == ChildStep::Exec.code() => return Ok(()),
                Some((_, errno)) => {
                    return Err(format!("fork it: {}", std::io::Error::from_raw_os_error(errno)));
                }
                None => {}
            }
        }
    })
}

fn probe(ask: impl FnOnce(&mut Warden) -> Result<(), String>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let introduction = Introduction {
        marker: format!("{NONCE_VARIABLE}={:016x}", nonce().map_err(text)?).into_bytes(),
        holding: Holding::Group,
        group_dirs: Vec::new(),
        scratch: None,
        again: false,
    };
    let mut warden = Warden::launch(false).map_err(text)?;
    let introduced = warden.introduce(&introduction).map_err(|error| format!("talk to it: {error}"));
    let answer = introduced.and_then(|()| await_hello(&mut warden)).and_then(|()| ask(&mut warden));
    let words = if answer.is_ok() { warden.dismiss(ANSWER_MAX) } else { warden.reap() };
    answer.map_err(|error| if words.is_empty() { error } else { format!("{error}; it said: {words}") })
}

fn await_hello(warden: &mut Warden) -> Result<(), String> {
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        wait_for(&[warden.socket()], deadline)?;
        match warden.receive() {
            Ok(ReceivedPacket::Nothing) => {}
            Ok(ReceivedPacket::Closed) => return Err("it left without a word".into()),
            Err(error) => return Err(error.to_string()),
            Ok(ReceivedPacket::Message(_)) => {
                let packet = warden.link().lend();
                let hello = postcard::from_bytes::<ToHost<'_>>(packet.messages());
                let is_ours = hello.is_ok_and(|hello| warden.is_ours(&hello));
                warden.link().give_back(packet);
                return if is_ours { Ok(()) } else { Err("something else answered".into()) };
            }
        }
    }
}

/// Receives the next message, if there is one and `pick` accepts it.
fn receive_matching<T>(
    link: &mut Link,
    pick: impl Fn(&ToHost<'_>) -> Option<T>,
) -> Result<Option<T>, String> {
    match link.receive() {
        Ok(ReceivedPacket::Nothing) => Ok(None),
        Ok(ReceivedPacket::Closed) => Err("it ended before it answered".into()),
        Err(error) => Err(error.to_string()),
        Ok(ReceivedPacket::Message(_)) => {
            let packet = link.lend();
            let picked: postcard::Result<Vec<ToHost<'_>>> =
                crate::warden::messages::decode_all(packet.messages()).collect();
            let picked = picked.map(|messages| messages.iter().find_map(&pick));
            link.give_back(packet);
            picked.map_err(|error| error.to_string())
        }
    }
}

/// Waits until one of them is readable; returns its index.
fn wait_for(fds: &[std::os::fd::BorrowedFd<'_>], deadline: Instant) -> Result<usize, String> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(|error| error.to_string())?;
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&timeout)));
    ready.map_err(|errno| std::io::Error::from(errno).to_string())?;
    let first = polled.iter().position(|fd| !fd.revents().is_empty());
    first.ok_or_else(|| format!("no answer within {} s", ANSWER_MAX.as_secs()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_warden_and_a_keeper_can_be_had() {
        crate::init();
        assert_eq!(super::warden(), Ok(()));
        assert_eq!(super::keeper(), Ok(()));
    }
}
