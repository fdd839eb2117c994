//! A condition variable that costs nothing while no thread waits. Knows nothing of the condition itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A condition variable for one mutex: the condition changes under the mutex, and is notified afterwards.
///
/// The standard one calls the kernel at every `notify`. Waiters are counted here before the mutex is released, so a
/// thread that changes the condition under the mutex sees the count, and a count of zero means that no thread needs a
/// notification.
#[derive(Debug, Default)]
pub struct Condition {
    waiting: AtomicU32,
    changed: Condvar,
}

impl Condition {
    /// Waits for a notification, or until the deadline; may also wake spuriously. `Err`: the deadline has passed.
    pub fn wait_until<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        until: Option<Instant>,
    ) -> Result<MutexGuard<'m, T>, MutexGuard<'m, T>> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(guard);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = match left {
            Some(left) => self.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(guard)
    }

    /// Waits for a notification; may also wake spuriously.
    pub fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        self.wait_until(guard, None).unwrap_or_else(|guard| guard)
    }

    /// Notifies all waiters that the condition has changed.
    pub fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread;

    #[test]
    fn a_waiter_is_notified_in_any_order() {
        let (turn, condition) = (Mutex::new(0_u32), Condition::default());
        // Two threads that wait for each other, so that a change comes before or after its wait, as it happens.
        let play = |own: u32| {
            for round in 0..5_000 {
                let mut at = turn.lock().unwrap();
                while *at != 2 * round + own {
                    at = condition.wait(at);
                }
                *at += 1;
                drop(at);
                condition.notify_all();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
        assert_eq!(*turn.lock().unwrap(), 10_000);
        assert_eq!(condition.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_deadline_differs_from_a_notification() {
        let (state, condition) = (Mutex::new(()), Condition::default());
        assert!(condition.wait_until(state.lock().unwrap(), Some(Instant::now())).is_err());
    }
}
