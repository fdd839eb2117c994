//! Jobs that give no sign of life are ended for that, and no others.

use std::time::Duration;

use psmith::{Cause, Isolation, Retry};
use psmith_testkit::leak::LeakGuard;

const LIMIT: Duration = Duration::from_millis(400);

/// What a job does, and for how long: longer than the limit in all, with pauses that are far shorter.
fn live(way: u32) -> u32 {
    let cx = psmith::cx().expect("inside a job");
    for step in 0..12 {
        // sleep: the passing of time is what is tested.
        std::thread::sleep(Duration::from_millis(80));
        match way {
            0 => cx.heartbeat(),
            1 => cx.progress(step, 12),
            2 => cx.send(&step).unwrap(),
            3 => print!("."),
            4 => eprint!("."),
            _ => {}
        }
        if way == 3 {
            std::io::Write::flush(&mut std::io::stdout()).unwrap();
        }
    }
    way
}

// proves: idle-watchdog
#[test]
fn messages_and_output_keep_a_job_alive_and_silence_ends_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let ended: Vec<_> = psmith::map(0..6, live)
            .workers(6)
            .isolation(isolation)
            .idle_timeout(LIMIT)
            .output(psmith::Output::Discard)
            .on_message(|_, _: u32| ())
            .collect();
        for (way, ended) in (0..5).zip(&ended) {
            assert_eq!(*ended.as_ref().unwrap(), way, "{isolation:?}");
        }
        let failure = ended[5].as_ref().unwrap_err();
        assert_eq!(failure.cause, Cause::Idle(LIMIT));
        assert!(failure.to_string().ends_with("gave no sign of life for 400ms"), "{failure}");
    }
}

// proves: idle-watchdog
#[test]
fn an_idle_job_is_tried_again_as_one_that_timed_out() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let second = |()| {
        while psmith::cx().unwrap().attempt() == 1 {
            std::thread::park();
        }
        7
    };
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let map = psmith::map([()], second).isolation(isolation).idle_timeout(LIMIT).retry(Retry::tries(2));
        assert_eq!(map.into_iter().last().unwrap().unwrap(), 7);
    }
}

/// A reader that takes nothing for longer than the limit does not make a job idle that sends all the time.
#[test]
fn a_job_is_not_idle_because_its_messages_are_not_taken() {
    psmith::init();
    let _guard = LeakGuard::alone();
    // Far more than what waits for the program to take it, so that the job stands in `send`.
    let talk = |()| (0..5000_u32).for_each(|n| psmith::cx().unwrap().send(&n).unwrap());
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let mut received = 0;
        let map = psmith::map([()], talk).isolation(isolation).idle_timeout(LIMIT).on_message(|_, n: u32| {
            if n == 0 {
                // sleep: the passing of time is what is tested.
                std::thread::sleep(3 * LIMIT);
            }
            received += 1;
        });
        map.into_iter().last().unwrap().unwrap();
        assert_eq!(received, 5000, "{isolation:?}");
    }
}
