//! Stopped jobs: all of them together with the host (Ctrl-Z), or one that another process or the terminal stopped.
//!
//! Stops nothing by itself: the handler commands it, or the kernel reports it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use psmith_sys::{pidfd, proc_tree};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::containment::Containment;
use crate::descendants;
use crate::engine::Engine;
use crate::engine::handler::{AttemptSlot, EngineEvent, Handler};
use crate::warden::messages::Key;

/// The time that stopping all jobs (Ctrl-Z) may take; after it the host stops anyway.
const FREEZE_MAX: Duration = Duration::from_millis(500);

impl<H: Handler> Engine<H> {
    /// Stops every job, lets the handler stop this process, and goes on when it returns.
    pub(super) fn suspend(&mut self) {
        self.dispatch.stop_clock();
        self.await_starts();
        self.stop_all(true);
        self.handler.suspended();
        self.stop_all(false);
        self.dispatch.restart_clock();
        self.warden.reset_silence();
    }

    /// Receives the reports of processes that exist already, because an unknown process cannot be stopped. The warden
    /// holds such reports back for a moment, and a start may be on its way.
    fn await_starts(&mut self) {
        if self.cgroup_slots.level() == Containment::Cgroup {
            // A child that joins a frozen group is frozen.
            return;
        }
        let deadline = Instant::now() + FREEZE_MAX;
        loop {
            let unknown: Vec<u32> = self
                .attempts
                .slots()
                .filter(|&slot| self.attempts.get(slot).is_some_and(|running| running.is_starting()))
                .collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if unknown.is_empty() || left.is_zero() {
                return;
            }
            {
                let mut fds = Vec::new();
                let warden = self.warden.socket();
                fds.extend(warden.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
                let keepers = unknown.iter().filter_map(|&slot| self.attempts.get(slot)?.keeper.as_ref());
                fds.extend(keepers.map(|keeper| PollFd::from_borrowed_fd(keeper.as_fd(), PollFlags::IN)));
                // A poll that is interrupted, or fails, is repeated until the time is over.
                let _ = rustix::event::poll(&mut fds, rustix::event::Timespec::try_from(left).ok().as_ref());
            }
            self.receive_from_warden();
            for slot in unknown {
                self.receive_from_keeper(slot);
            }
        }
    }

    fn stop_all(&mut self, stop: bool) {
        let frozen =
            self.cgroup_slots.level() == Containment::Cgroup && self.cgroup_slots.freeze(stop, FREEZE_MAX);
        // A job that the terminal stopped waits for a SIGCONT, thawed or not.
        if frozen && (stop || !self.warden.lends_terminal()) {
            return;
        }
        let signal = if stop { Signal::STOP.as_raw() } else { Signal::CONT.as_raw() };
        for slot in self.attempts.slots() {
            let Some(running) = self.attempts.get(slot) else { continue };
            if running.exited {
                continue;
            }
            let Some(process) = &running.pidfd else { continue };
            let (key, by_pidfd) = (running.key(), pidfd::signal_group(process, signal));
            let _ = pidfd::signal(process, signal);
            descendants::signal_descendants(running.pid, Some(running.pid), signal);
            if by_pidfd.is_err_and(|error| pidfd::is_unsupported(&error)) {
                self.ask_for_group_signal(slot, key, signal);
            }
        }
    }

    /// Notes that a job was stopped, by another process or by the terminal that it has. A stop that is over by now (it
    /// was the engine's own, and everything goes on again) is ignored.
    pub(super) fn on_stopped(&mut self, key: Key, signal: i32) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.attempts.get_mut(slot) else { return };
        let is_stopped = proc_tree::stat(running.pid).is_ok_and(|stat| stat.state == b'T');
        // The process was continued meanwhile: the kernel reports the last change only.
        if running.exited || !is_stopped {
            return;
        }
        running.stopped = true;
        self.notify_of_stop(slot, Some(signal));
    }

    pub(super) fn on_continued(&mut self, key: Key) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.attempts.get_mut(slot) else { return };
        if std::mem::take(&mut running.stopped) {
            self.notify_of_stop(slot, None);
        }
    }

    fn notify_of_stop(&mut self, slot: u32, signal: Option<i32>) {
        let Some(running) = self.attempts.get(slot) else { return };
        let at = AttemptSlot { attempt: running.id, slot: running.slot };
        let Some(entry) = self.jobs.get(&at.attempt.job) else { return };
        let view = self.dispatch.view();
        let job = &entry.job;
        self.handler.on_event(
            &view,
            match signal {
                Some(signal) => EngineEvent::Stopped { at, job, signal },
                None => EngineEvent::Continued { at, job },
            },
        );
    }
}
