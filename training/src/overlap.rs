//! Counting what a network predicts while it is at the next image.
//!
//! The network stays on the calling thread. Others take its outputs, each with a counter of its own, and the counters are
//! added up at the end, which changes no bit of a score. What has to happen in order, such as writing files, does. Memory is
//! flat: an output waits at a time, and every thread is at one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use smalti_datasets::{DataError, LoaderConfig};

use crate::TrainError;
use crate::task::Counts;

/// Outputs that wait for a thread.
const WAITING: usize = 1;

/// More threads would hold more results of whole images at a time than they save time.
const MOST_THREADS: usize = 4;

/// How many threads count, by the recipe's number of loader threads.
pub(crate) fn threads(loader: &LoaderConfig) -> usize {
    loader.threads().min(MOST_THREADS)
}

/// Counts `outputs`, which are made on this thread, on `threads` others: `count` in any order, `keep` in theirs and one at a
/// time.
///
/// # Errors
/// That of the first output, in their order, that is one, cannot be counted or cannot be kept; those before it are kept.
///
/// # Panics
/// If `count` or `keep` does.
pub(crate) fn count_overlapped<T: Send, R, C: Counts>(
    mut outputs: impl Iterator<Item = Result<T, TrainError>>,
    threads: usize,
    mut counter: C,
    count: impl Fn(&mut C, &T) -> Result<R, TrainError> + Sync,
    keep: impl FnMut(&T, &R) -> Result<(), TrainError> + Send,
) -> Result<C, TrainError> {
    let (sender, receiver) = sync_channel(WAITING);
    let shared = Shared {
        outputs: Mutex::new(receiver),
        order: Mutex::new(Order { next: 0, keep, failure: None }),
        turned: Condvar::new(),
        failed_at: AtomicU64::new(u64::MAX),
    };
    let counters = thread::scope(|scope| {
        // Of this scope's, so that threads end if a later one cannot be had or the network panics.
        let sender = sender;
        let mut counting = Vec::with_capacity(threads);
        for number in 0..threads.max(1) {
            let (shared, count, counter) = (&shared, &count, counter.clone());
            let thread = thread::Builder::new().name(format!("count-{number}"));
            let thread = thread.spawn_scoped(scope, move || shared.work(counter, count));
            counting.push(thread.map_err(|source| DataError::Thread { source })?);
        }
        for number in 0.. {
            if shared.failed_before(number) {
                break;
            }
            let Some(output) = outputs.next() else { break };
            match output {
                // There is a receiver as long as there is `shared`.
                Ok(output) => drop(sender.send((number, output))),
                Err(error) => {
                    shared.fail(number, Failure::Error(error));
                    break;
                }
            }
        }
        drop(sender);
        let counters =
            counting.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok::<Vec<C>, TrainError>(counters.collect())
    })?;
    let order = shared.order.into_inner().unwrap_or_else(PoisonError::into_inner);
    match order.failure {
        Some((_, Failure::Error(error))) => return Err(error),
        Some((_, Failure::Panic(panic))) => resume_unwind(panic),
        None => {}
    }
    for other in &counters {
        counter.merge(other)?;
    }
    Ok(counter)
}

struct Shared<T, K> {
    outputs: Mutex<Receiver<(u64, T)>>,
    order: Mutex<Order<K>>,
    /// Signalled when another output may be kept, or after a failure.
    turned: Condvar,
    /// The number in [`Order::failure`], to be read while another thread keeps something.
    failed_at: AtomicU64,
}

struct Order<K> {
    /// Number of the output that is kept next.
    next: u64,
    keep: K,
    /// That of the first output that failed.
    failure: Option<(u64, Failure)>,
}

enum Failure {
    Error(TrainError),
    Panic(Box<dyn Any + Send>),
}

impl<T, K> Shared<T, K> {
    /// Counts until there is nothing more. After a failure the rest is taken and dropped, so that the network's thread does not
    /// wait for room.
    fn work<R, C>(&self, mut counter: C, count: &impl Fn(&mut C, &T) -> Result<R, TrainError>) -> C
    where
        K: FnMut(&T, &R) -> Result<(), TrainError>,
    {
        while let Some((number, output)) = self.next_output() {
            if self.failed_before(number) {
                continue;
            }
            let done = catch_unwind(AssertUnwindSafe(|| {
                let result = count(&mut counter, &output)?;
                self.keep_in_turn(number, &output, &result)
            }));
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(number, Failure::Error(error)),
                Err(panic) => self.fail(number, Failure::Panic(panic)),
            }
        }
        counter
    }

    fn next_output(&self) -> Option<(u64, T)> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Waits until all before are kept; does nothing if one of them failed.
    fn keep_in_turn<R>(&self, number: u64, output: &T, result: &R) -> Result<(), TrainError>
    where
        K: FnMut(&T, &R) -> Result<(), TrainError>,
    {
        let mut order = self.lock();
        while order.next != number {
            if self.failed_before(number) {
                return Ok(());
            }
            order = self.turned.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        (order.keep)(output, result)?;
        order.next += 1;
        drop(order);
        self.turned.notify_all();
        Ok(())
    }

    fn fail(&self, number: u64, failure: Failure) {
        let mut order = self.lock();
        if order.failure.as_ref().is_none_or(|(first, _)| number < *first) {
            order.failure = Some((number, failure));
            self.failed_at.store(number, Ordering::Relaxed);
        }
        drop(order);
        self.turned.notify_all();
    }

    fn failed_before(&self, number: u64) -> bool {
        self.failed_at.load(Ordering::Relaxed) < number
    }

    /// A panic while `keep` runs is a failure like others, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Order<K>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use smalti_evaluation::EvalError;

    use super::*;

    #[derive(Debug, Clone, Default, PartialEq)]
    struct Sum(u64);

    impl Counts for Sum {
        type Part = u64;

        fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
            self.0 += other.0;
            Ok(())
        }

        fn part(&self) -> u64 {
            self.0
        }

        fn add_part(&mut self, part: u64) -> Result<(), EvalError> {
            self.merge(&Self(part))
        }
    }

    fn bad(number: u64) -> TrainError {
        TrainError::config("number", "another", number)
    }

    /// Adds `0..outputs` up; an output, its counting or its keeping may be an error.
    fn run(outputs: u64, threads: usize, wrong: [Option<u64>; 3]) -> (Result<Sum, TrainError>, Vec<u64>) {
        let [output, counted, kept] = wrong;
        let mut order = Vec::new();
        let sum = count_overlapped(
            (0..outputs).map(|n| if output == Some(n) { Err(bad(n)) } else { Ok(n) }),
            threads,
            Sum::default(),
            |sum, &n| {
                thread::sleep(Duration::from_micros(n * 7919 % 900));
                sum.0 += n;
                if counted == Some(n) { Err(bad(n)) } else { Ok(n + 1) }
            },
            |&n, &result| {
                assert_eq!(result, n + 1);
                order.push(n);
                if kept == Some(n) { Err(bad(n)) } else { Ok(()) }
            },
        );
        (sum, order)
    }

    #[test]
    fn everything_is_counted_once_and_kept_in_order() {
        for threads in [1, 2, 5] {
            for outputs in [0, 1, 40] {
                let (sum, order) = run(outputs, threads, [None; 3]);
                assert_eq!(sum.unwrap(), Sum((0..outputs).sum()));
                assert_eq!(order, (0..outputs).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_failure_is_told_and_what_comes_before_is_kept() {
        for threads in [1, 2, 5] {
            for (wrong, first, kept) in [
                ([Some(9), None, None], 9, 9),
                ([None, Some(9), None], 9, 9),
                ([None, None, Some(9)], 9, 10),
                ([Some(12), Some(10), Some(11)], 10, 10),
                ([Some(0), None, Some(3)], 0, 0),
            ] {
                let (sum, order) = run(40, threads, wrong);
                assert_eq!(sum.unwrap_err().to_string(), bad(first).to_string());
                assert_eq!(order, (0..kept).collect::<Vec<_>>(), "{threads} threads, {wrong:?}");
            }
        }
    }

    #[test]
    fn outputs_do_not_pile_up() {
        for threads in [1, 3] {
            let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let outputs = (0..60).map(|n: u64| {
                let ahead = made.fetch_add(1, Ordering::SeqCst) - taken.load(Ordering::SeqCst);
                assert!(ahead <= threads + WAITING, "{ahead} are held");
                Ok(n)
            });
            let sum = count_overlapped(
                outputs,
                threads,
                Sum::default(),
                |sum, n| {
                    thread::sleep(Duration::from_millis(1));
                    sum.0 += n;
                    Ok(())
                },
                |_, ()| {
                    taken.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                },
            );
            assert_eq!(sum.unwrap(), Sum(59 * 30));
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        for threads in [1, 3] {
            let caught = catch_unwind(|| {
                count_overlapped(
                    (0..40).map(Ok),
                    threads,
                    Sum::default(),
                    |_, n: &u64| {
                        assert!(*n != 7, "seven is too much");
                        Ok(())
                    },
                    |_, ()| Ok(()),
                )
            });
            let panic = caught.unwrap_err();
            let text =
                panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            assert_eq!(text, Some("seven is too much"));
        }
    }
}
