//! Jobs that stand still: all of them together with the host (Ctrl-Z), or one that somebody stopped.
//!
//! Stops nothing of its own accord: the handler orders it, or the kernel tells of it.

use std::time::{Duration, Instant};

use psmith_sys::{pidfd, proc_tree};
use rustix::process::Signal;

use super::Engine;
use super::handler::{Handler, News, Place, View};
use crate::containment::Level;
use crate::kin;
use crate::warden::messages::Key;

/// How long stopping all jobs (Ctrl-Z) may take before the host stops all the same.
const FREEZE_MAX: Duration = Duration::from_millis(500);

impl<H: Handler> Engine<H> {
    /// Stops every job, lets the handler stop this process, and goes on when it returns.
    pub(super) fn suspend(&mut self) {
        self.clock.stop();
        self.stop_all(true);
        self.handler.suspended();
        self.stop_all(false);
        self.clock.go();
        if let Some(warden) = &mut self.warden {
            warden.forgive_silence();
        }
        self.last_ping = Instant::now();
    }

    fn stop_all(&mut self, stop: bool) {
        let frozen = self.level == Level::Cgroup && self.places.freeze(stop, FREEZE_MAX);
        // A job that the terminal stopped waits for a SIGCONT, thawed or not.
        if frozen && (stop || self.surroundings.terminal.is_none()) {
            return;
        }
        let signal = if stop { Signal::STOP.as_raw() } else { Signal::CONT.as_raw() };
        for slot in 0..self.slots.len() as u32 {
            let Some(running) = self.running(slot) else { continue };
            if running.exited {
                continue;
            }
            let Some(process) = &running.pidfd else { continue };
            let _ = pidfd::signal_group(process, signal);
            let _ = pidfd::signal(process, signal);
            kin::signal_descendants(running.pid, Some(running.pid), signal);
        }
    }

    /// A job was stopped, by somebody else or by the terminal it has. News of a stop that is over by now (it was ours,
    /// and everything goes on again) is no news.
    pub(super) fn on_stopped(&mut self, key: Key, signal: i32) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.running_mut(slot) else { return };
        let stands = proc_tree::stat(running.pid).is_ok_and(|stat| stat.state == b'T');
        // Told of as stopped before, it went on meanwhile: the kernel tells of the last change only.
        if running.exited || !stands {
            return;
        }
        running.stopped = true;
        self.tell_of_stop(slot, Some(signal));
    }

    pub(super) fn on_continued(&mut self, key: Key) {
        let Some(slot) = self.find(key) else { return };
        let Some(running) = self.running_mut(slot) else { return };
        if std::mem::take(&mut running.stopped) {
            self.tell_of_stop(slot, None);
        }
    }

    fn tell_of_stop(&mut self, slot: u32, signal: Option<i32>) {
        let Some(running) = self.running(slot) else { return };
        let place = Place { attempt: running.id, slot: running.slot };
        let Some(entry) = self.jobs.get(&place.attempt.job) else { return };
        let view = View { dispatcher: &self.dispatcher, now: self.clock.now() };
        let job = &entry.job;
        self.handler.news(
            &view,
            match signal {
                Some(signal) => News::Stopped { place, job, signal },
                None => News::Continued { place, job },
            },
        );
    }
}
