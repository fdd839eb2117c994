//! The link to the run's warden: which one serves now, the messages each begins with, whether it still answers, how
//! many were lost.
//!
//! Never decides what the loss of a warden means for the attempts in flight, and reads no message about them: the
//! engine does.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use psmith_sys::epoll::{Epoll, Interest};
use psmith_sys::terminal::{self, TerminalModes};
use psmith_sys::wait;

use crate::engine::observe::Token;
use crate::engine::{EngineError, Surroundings};
use crate::warden::client::{Introduction, PING_EVERY, Warden};
use crate::warden::link::{Packet, ReceivedPacket};
use crate::warden::messages::{ToHost, ToWarden};

/// The number of wardens that may be lost within [`LOSSES_COUNT_FOR`] before the run gives up.
const WARDEN_RESTARTS_MAX: usize = 5;

/// The time for which a loss counts.
const LOSSES_COUNT_FOR: Duration = Duration::from_secs(60);

/// The warden, and the state that its successor would need to take over.
pub(super) struct WardenLink {
    /// The warden; `None` before the first one is engaged, and when none can be started any more.
    warden: Option<Warden>,
    introduction: Introduction,
    surroundings: Surroundings,
    /// True if workers are forked copies of it, which the host trusts before their own hello.
    forks: bool,
    /// True once a warden of this run has answered.
    has_answered: bool,
    losses: VecDeque<Instant>,
    last_ping: Instant,
}

impl WardenLink {
    /// Returns a link without a warden.
    pub(super) fn new(introduction: Introduction, surroundings: Surroundings) -> WardenLink {
        WardenLink {
            warden: None,
            introduction,
            surroundings,
            forks: false,
            has_answered: false,
            losses: VecDeque::new(),
            last_ping: Instant::now(),
        }
    }

    /// Introduces the run to this warden, which serves from now on.
    pub(super) fn engage(&mut self, epoll: &Epoll, mut warden: Warden) -> Result<(), EngineError> {
        let failed = |error| EngineError::Warden { error, words: String::new() };
        warden.introduce(&self.introduction).map_err(failed)?;
        epoll.add(warden.socket(), Token::WardenSocket.pack(), Interest::READ).map_err(failed)?;
        epoll.add(warden.pidfd(), Token::WardenEnd.pack(), Interest::READ).map_err(failed)?;
        let surroundings = &self.surroundings;
        let profile = ToWarden::Profile {
            env: &surroundings.env,
            umask: surroundings.umask,
            rlimits: surroundings.rlimits.iter().map(|limit| limit.to_raw()).collect(),
            nice: surroundings.nice,
            no_new_privs: surroundings.no_new_privs,
            foreground: surroundings.terminal.is_some(),
        };
        let terminal: Vec<_> = surroundings.terminal.iter().map(AsFd::as_fd).collect();
        warden.send(&profile, &terminal).map_err(failed)?;
        if let Some((terminal, TerminalModes { flags, codes })) = &surroundings.found_terminal
            && let Some(group) = terminal::own_group_number()
        {
            let found = ToWarden::Terminal { flags: *flags, codes, group };
            warden.send(&found, &[terminal.as_fd()]).map_err(failed)?;
        }
        self.warden = Some(warden);
        self.forks = false;
        self.last_ping = Instant::now();
        Ok(())
    }

    /// Starts and engages another warden, after the first one was lost.
    pub(super) fn replace(&mut self, epoll: &Epoll, group_dirs: Vec<Vec<u8>>) -> Result<(), EngineError> {
        self.introduction.again = true;
        self.introduction.group_dirs = group_dirs;
        let launched = Warden::launch(self.surroundings.has_arguments);
        launched
            .map_err(|error| EngineError::Warden { error, words: String::new() })
            .and_then(|warden| self.engage(epoll, warden))
    }

    /// Takes the warden out of service, if there is one.
    pub(super) fn disengage(&mut self, epoll: &Epoll) -> Option<Warden> {
        let warden = self.warden.take()?;
        let _ = epoll.remove(warden.socket());
        let _ = epoll.remove(warden.pidfd());
        Some(warden)
    }

    /// Counts a loss; returns true if there were too many recently.
    pub(super) fn count_loss(&mut self) -> bool {
        self.losses.push_back(Instant::now());
        while self.losses.front().is_some_and(|loss| loss.elapsed() > LOSSES_COUNT_FOR) {
            self.losses.pop_front();
        }
        self.losses.len() > WARDEN_RESTARTS_MAX
    }

    /// Sends a message that nothing depends on if it cannot be sent.
    pub(super) fn send(&mut self, epoll: &Epoll, message: &ToWarden<'_>, fds: &[BorrowedFd<'_>]) {
        let _ = self.try_send(epoll, message, fds);
    }

    /// Sends a message. A broken socket is no error here: the warden's end tells.
    ///
    /// # Errors
    ///
    /// `E2BIG` for one that is too long; `EMFILE` and the like where descriptors are wanting to send or to queue it.
    /// Nothing was sent then.
    pub(super) fn try_send(
        &mut self,
        epoll: &Epoll,
        message: &ToWarden<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let Some(warden) = &mut self.warden else { return Ok(()) };
        let queued = warden.link().has_queued();
        warden.send(message, fds)?;
        if !queued && warden.link().has_queued() {
            let _ = epoll.modify(warden.socket(), Token::WardenSocket.pack(), Interest::BOTH);
        }
        Ok(())
    }

    /// Sends what is queued, as far as the socket takes it.
    pub(super) fn flush(&mut self, epoll: &Epoll) {
        let Some(warden) = &mut self.warden else { return };
        if warden.link().has_queued() {
            let _ = warden.link().flush();
            if !warden.link().has_queued() {
                let _ = epoll.modify(warden.socket(), Token::WardenSocket.pack(), Interest::READ);
            }
        }
    }

    /// Receives the next packet, if there is one; [`WardenLink::lend`] returns its bytes afterwards.
    pub(super) fn receive(&mut self) -> io::Result<ReceivedPacket> {
        self.warden.as_mut().map_or(Ok(ReceivedPacket::Nothing), Warden::receive)
    }

    /// Lends the packet received last. It must be given back before the next one, unless its sender is lost by then.
    pub(super) fn lend(&mut self) -> Packet {
        self.warden.as_mut().map(|warden| warden.link().lend()).unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, packet: Packet) {
        if let Some(warden) = &mut self.warden {
            warden.link().give_back(packet);
        }
    }

    /// Checks the warden's answer to its introduction; returns true if it replaces a lost one.
    ///
    /// # Errors
    ///
    /// If it is not the answer of the warden that was started.
    pub(super) fn on_hello(&mut self, hello: &ToHost<'_>) -> io::Result<bool> {
        if !self.warden.as_ref().is_some_and(|warden| warden.is_ours(hello)) {
            return Err(io::Error::other("it is not the warden that was started"));
        }
        self.forks = matches!(hello, ToHost::Hello { forks: true, .. });
        self.has_answered = true;
        Ok(self.introduction.again)
    }

    /// Returns whether a warden of this run has ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    pub(super) fn on_pong(&mut self) {
        if let Some(warden) = &mut self.warden {
            warden.on_pong();
        }
    }

    /// Returns the time until the next ping.
    pub(super) fn until_ping(&self) -> Duration {
        PING_EVERY.saturating_sub(self.last_ping.elapsed())
    }

    /// Pings the warden at intervals.
    ///
    /// # Errors
    ///
    /// The warden has owed an answer for too long.
    pub(super) fn check(&mut self) -> io::Result<()> {
        if self.last_ping.elapsed() < PING_EVERY {
            return Ok(());
        }
        // The host itself may have been stopped: then no answer was due meanwhile.
        let late = self.last_ping.elapsed() > PING_EVERY * 3;
        self.last_ping = Instant::now();
        let Some(warden) = &mut self.warden else { return Ok(()) };
        if late {
            warden.reset_silence();
        } else if warden.is_silent() {
            return Err(io::Error::other("it does not answer"));
        }
        let _ = warden.ping();
        Ok(())
    }

    /// Restarts the time that the warden has to answer, after the host itself was stopped.
    pub(super) fn reset_silence(&mut self) {
        if let Some(warden) = &mut self.warden {
            warden.reset_silence();
        }
        self.last_ping = Instant::now();
    }

    /// Reaps all children of this process that have ended but the warden, whose end is handled apart.
    pub(super) fn reap_strangers(&self) {
        let Some(warden) = &self.warden else { return };
        while let Ok(Some(ended)) = wait::peek_any() {
            // A stranger behind it is told anew once the warden is reaped.
            if ended.pid == warden.pid() || wait::reap(ended.pid).is_err() {
                return;
            }
        }
    }

    /// Returns whether the warden that serves now has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.warden.as_ref().is_some_and(Warden::has_ended)
    }

    /// Returns whether workers are copies of a warden whose hello this host has checked.
    pub(super) fn forks(&self) -> bool {
        self.forks
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.warden.as_ref().map(Warden::socket)
    }

    /// Returns `PSMITH_NONCE=..`, by which processes of this run are known.
    pub(super) fn marker(&self) -> &[u8] {
        &self.introduction.marker
    }

    /// Returns whether jobs are given a terminal.
    pub(super) fn lends_terminal(&self) -> bool {
        self.surroundings.terminal.is_some()
    }

    /// Sets the directories of groups that the warden, this one and its successors, kills and removes if the host is
    /// gone.
    pub(super) fn set_group_dirs(&mut self, epoll: &Epoll, group_dirs: Vec<Vec<u8>>) {
        let dirs = group_dirs.iter().map(Vec::as_slice).collect();
        self.send(epoll, &ToWarden::Groups { dirs }, &[]);
        self.introduction.group_dirs = group_dirs;
    }

    /// Leaves the warden to itself: it kills what is left, and removes the groups. Waits for its end only if it is
    /// given a `patience`.
    pub(super) fn abandon(&mut self, patience: Option<Duration>) {
        if let Some(warden) = self.warden.take() {
            warden.abandon(patience);
        }
    }

    /// Says goodbye to the warden and waits until it has left, but not for longer than `patience`.
    pub(super) fn dismiss(&mut self, patience: Duration) {
        if let Some(warden) = self.warden.take() {
            warden.dismiss(patience);
        }
    }
}
