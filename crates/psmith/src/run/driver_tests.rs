//! Who drives, step by step, with an engine that is played. Starts no process.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;

/// Tells which thread does what, and waits until it is told that something happened.
struct Played {
    log: Sender<(&'static str, bool)>,
    bell: Receiver<()>,
    own: thread::ThreadId,
    /// So many turns from now on there is nothing more to do.
    turns: Arc<AtomicU32>,
}

impl Drive for Played {
    fn has_more(&mut self) {}

    fn advance(&mut self) -> bool {
        assert_ne!(self.turns.load(Ordering::SeqCst), 99, "it was to panic");
        self.log.send(("advance", thread::current().id() == self.own)).unwrap();
        self.turns.fetch_sub(1, Ordering::SeqCst) > 1
    }

    fn wait(&mut self, limit: Option<Duration>) {
        self.log.send(("wait", thread::current().id() == self.own)).unwrap();
        match limit {
            Some(limit) => drop(self.bell.recv_timeout(limit)),
            None => self.bell.recv().unwrap(),
        }
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.log.send(("close", thread::current().id() == self.own)).unwrap();
        Ok(())
    }
}

struct DriverFixture {
    driver: Arc<EngineDriver>,
    log: Receiver<(&'static str, bool)>,
    bell: Sender<()>,
    turns: Arc<AtomicU32>,
    thread: thread::JoinHandle<Result<(), EngineError>>,
}

fn scene() -> DriverFixture {
    let (log, heard) = channel();
    let (bell, rings) = channel();
    let (driver, turns) = (Arc::new(EngineDriver::default()), Arc::new(AtomicU32::new(1000)));
    let (side, count) = (Arc::clone(&driver), Arc::clone(&turns));
    let thread = thread::spawn(move || {
        let own = thread::current().id();
        side.work(Played { log, bell: rings, own, turns: count })
    });
    DriverFixture { driver, log: heard, bell, turns, thread }
}

impl DriverFixture {
    fn next(&self) -> (&'static str, bool) {
        self.log.recv_timeout(Duration::from_secs(30)).expect("somebody drives")
    }

    /// The engine's thread serves a caller who waited in vain, and steps aside; the turn is taken at once.
    fn step_aside(&self) -> DriverTurn<'_> {
        loop {
            self.driver.request_drive();
            self.driver.on_end();
            self.bell.send(()).unwrap();
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(50) {
                if let Some(turn) = self.driver.try_drive() {
                    return turn;
                }
            }
        }
    }

    fn end(self) {
        self.turns.store(1, Ordering::SeqCst);
        self.bell.send(()).unwrap();
        assert!(self.thread.join().unwrap().is_ok());
        let last = self.log.try_iter().last();
        assert_eq!(last, Some(("close", true)), "its own thread ends it");
    }
}

#[test]
fn nobody_takes_the_engine_from_its_own_thread() {
    let scene = scene();
    assert_eq!((scene.next(), scene.next()), (("advance", true), ("wait", true)));
    assert!(scene.driver.try_drive().is_none() && !scene.driver.is_free());
    scene.end();
}

#[test]
fn a_caller_drives_and_the_engines_thread_comes_back_by_itself() {
    let scene = scene();
    let mut turn = scene.step_aside();
    scene.log.try_iter().for_each(drop);
    assert!(turn.advance(), "what is done already is not done again");
    assert!(scene.log.try_recv().is_err());
    turn.has_more();
    assert!(turn.advance());
    turn.wait(Some(Duration::ZERO));
    assert!(turn.advance());
    assert_eq!(
        scene.log.try_iter().map(|(what, _)| what).collect::<Vec<_>>(),
        ["advance", "wait", "advance"]
    );
    turn.leave(false);
    assert_eq!((scene.next(), scene.next()), (("advance", true), ("wait", true)));
    scene.end();
}

#[test]
fn a_caller_who_has_driven_for_long_is_waited_for_without_polling() {
    let scene = scene();
    let mut turn = scene.step_aside();
    // sleep: that the engine's thread stays away for so long is what is to be seen.
    thread::sleep(HANDBACK_AFTER * 20);
    turn.has_more();
    scene.log.try_iter().for_each(drop);
    assert!(turn.advance());
    turn.leave(false);
    assert_eq!(scene.next(), ("advance", false));
    assert_eq!(scene.next(), ("advance", true));
    scene.end();
}

#[test]
fn a_run_that_is_over_is_ended_by_the_engines_thread() {
    let scene = scene();
    let mut turn = scene.step_aside();
    scene.turns.store(1, Ordering::SeqCst);
    turn.has_more();
    assert!(!turn.advance());
    scene.turns.store(1, Ordering::SeqCst);
    turn.leave(false);
    assert!(scene.thread.join().unwrap().is_ok());
    assert_eq!(scene.log.try_iter().last(), Some(("close", true)));
}

#[test]
fn a_panic_on_a_callers_thread_ends_the_run_and_not_the_caller() {
    let scene = scene();
    let mut turn = scene.step_aside();
    scene.turns.store(99, Ordering::SeqCst);
    turn.has_more();
    assert!(!turn.advance());
    turn.leave(true);
    let ended = scene.thread.join().unwrap();
    assert!(ended.unwrap_err().to_string().contains("panicked"));
}
