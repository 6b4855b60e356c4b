//! Threads that work through numbered jobs and hand the results back in order, a bounded number of them ahead.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::DataError;

/// What the pool does with a number; the same number must give the same result.
type Job<T> = dyn Fn(u64) -> Result<T, DataError> + Send + Sync;

/// Ordered results of `job(start), job(start + 1), ...`.
///
/// At most `window` numbers are claimed and not yet taken, so at most that many results exist at a time. Dropping the pool
/// stops the threads after the job each is at.
pub(crate) struct OrderedPool<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled when a result arrives.
    arrived: Condvar,
    /// Signalled when there is room for claims, or on stop.
    room: Condvar,
    job: Box<Job<T>>,
    window: usize,
    end: u64,
}

struct State<T> {
    /// Number of the first slot: the next to be taken.
    next_taken: u64,
    next_claimed: u64,
    /// Claimed numbers from `next_taken` on; empty until their result arrives.
    slots: VecDeque<Option<Result<T, DataError>>>,
    stop: bool,
}

impl<T: Send + 'static> OrderedPool<T> {
    /// Starts `threads` threads on the numbers `start..end`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(
        range: std::ops::Range<u64>,
        window: usize,
        threads: usize,
        job: impl Fn(u64) -> Result<T, DataError> + Send + Sync + 'static,
    ) -> Result<Self, DataError> {
        let state =
            State { next_taken: range.start, next_claimed: range.start, slots: VecDeque::new(), stop: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            room: Condvar::new(),
            job: Box::new(job),
            window: window.max(1),
            end: range.end,
        });
        // Built first, so that threads already running stop if a later one cannot be had.
        let mut pool = Self { shared: Arc::clone(&shared), threads: vec![] };
        for number in 0..threads.clamp(1, window.max(1)) {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("loader-{number}"));
            let thread =
                thread.spawn(move || shared.work()).map_err(|source| DataError::Thread { source })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// The next result; waits for it. None behind the last.
    pub fn next(&mut self) -> Option<Result<T, DataError>> {
        let shared = &self.shared;
        let mut state = shared.lock();
        if state.next_taken >= shared.end {
            return None;
        }
        loop {
            if matches!(state.slots.front(), Some(Some(_))) {
                state.next_taken += 1;
                let result = state.slots.pop_front().flatten();
                drop(state);
                shared.room.notify_one();
                return result;
            }
            state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Shared<T> {
    /// No code panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(number) = self.claim() {
            let result = catch_unwind(AssertUnwindSafe(|| (self.job)(number))).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let reason =
                    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown").to_owned();
                Err(DataError::Worker { sample: format!("number {number}"), reason })
            });
            let mut state = self.lock();
            let slot = (number - state.next_taken) as usize;
            state.slots[slot] = Some(result);
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// The next number; waits for room. None on stop or at the end.
    fn claim(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.stop || state.next_claimed >= self.end {
                return None;
            }
            if state.slots.len() < self.window {
                let number = state.next_claimed;
                state.next_claimed += 1;
                state.slots.push_back(None);
                return Some(number);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for OrderedPool<T> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.room.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing to learn from its end.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn results_keep_their_order_whatever_the_threads_do() {
        for threads in [1, 2, 5] {
            let mut pool = OrderedPool::new(3..40, 8, threads, |n| {
                thread::sleep(Duration::from_micros(n * 7919 % 900));
                Ok(n)
            })
            .unwrap();
            let all: Vec<u64> = std::iter::from_fn(|| pool.next()).map(Result::unwrap).collect();
            assert_eq!(all, (3..40).collect::<Vec<_>>());
            assert!(pool.next().is_none());
        }
    }

    #[test]
    fn look_ahead_is_bounded() {
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        let mut pool = OrderedPool::new(0..u64::MAX, 6, 3, move |n| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        })
        .unwrap();
        for taken in 1..20 {
            pool.next();
            thread::sleep(Duration::from_millis(2));
            assert!(started.load(Ordering::SeqCst) <= taken + 6);
        }
    }

    #[test]
    fn a_panic_is_an_error_of_its_number() {
        let mut pool = OrderedPool::new(0..5, 2, 2, |n| {
            assert!(n != 2, "two is too much");
            Ok(n)
        })
        .unwrap();
        let all: Vec<_> = std::iter::from_fn(|| pool.next()).collect();
        assert_eq!(all.len(), 5);
        assert!(all[2].as_ref().unwrap_err().to_string().contains("two is too much"));
        assert_eq!(all.iter().filter(|r| r.is_ok()).count(), 4);
    }

    #[test]
    fn dropping_stops_promptly() {
        let pool = OrderedPool::new(0..u64::MAX, 100, 4, |n| {
            thread::sleep(Duration::from_millis(1));
            Ok(n)
        })
        .unwrap();
        thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        drop(pool);
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
}
