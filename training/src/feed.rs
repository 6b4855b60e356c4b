//! Batches and images as tensors on the network's device, the next of them while the network is at one.
//!
//! Where copies overlap with computing (a GPU, see [`smalti_ops::copies`]), a thread takes the next item from the loader and starts
//! its copy; it then holds that one item until it is asked for. Elsewhere an item is taken and made into tensors when it is asked
//! for, on the calling thread. Order, values and errors are the same: what is read ahead and never asked for leaves no
//! trace, so a checkpoint says what was consumed.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use smalti_datasets::DataError;
use smalti_ops::copies::{HostArray, Uploader};
use tch::{Device, Tensor};

use crate::TrainError;

/// How items get to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    device: Device,
    ahead: bool,
}

/// An item and the tensors of its arrays on the device, in their order.
pub(crate) type Fed<T> = Result<(T, Vec<Tensor>), TrainError>;

impl Feed {
    /// The way that is best for `device`: one item ahead on a GPU.
    pub fn to(device: Device) -> Self {
        Self { device, ahead: Uploader::new(device).overlaps() }
    }

    /// One item ahead on any device, which shows on a CPU that it changes nothing.
    pub fn ahead(device: Device) -> Self {
        Self { device, ahead: true }
    }

    /// Runs `body` over all `items` with the tensors of their `arrays`.
    ///
    /// # Errors
    /// [`TrainError::Data`] if there is no thread to be had. What goes wrong with an item is given to `body` in its place.
    ///
    /// # Panics
    /// If `items` or `arrays` does.
    pub(crate) fn run<T: Send, R>(
        self,
        items: impl Iterator<Item = Result<T, TrainError>> + Send,
        arrays: for<'a> fn(&'a T) -> Vec<HostArray<'a>>,
        body: impl FnOnce(&mut dyn Iterator<Item = Fed<T>>) -> R,
    ) -> Result<R, TrainError> {
        let mut uploader = Uploader::new(self.device);
        let mut uploads = items.map(move |item| {
            let item = item?;
            let upload = uploader.upload(&arrays(&item))?;
            Ok::<_, TrainError>((item, upload))
        });
        if !self.ahead {
            return Ok(body(&mut uploads.map(received)));
        }
        thread::scope(|scope| {
            // No room: an item that was sent has been taken, so no more than one waits.
            let (sender, receiver) = sync_channel(0);
            let thread = thread::Builder::new().name("upload".to_owned());
            let thread = thread.spawn_scoped(scope, move || {
                // Nobody receives any more when `body` is done.
                uploads.try_for_each(|upload| sender.send(upload)).ok()
            });
            let thread = thread.map_err(|source| DataError::Thread { source })?;
            // Dropped when `body` is done, or the thread would wait for ever.
            let result = body(&mut receiver.into_iter().map(received));
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
            Ok(result)
        })
    }
}

/// From here on what is computed may use the tensors.
fn received<T>(upload: Result<(T, smalti_ops::copies::Upload), TrainError>) -> Fed<T> {
    let (item, upload) = upload?;
    Ok((item, upload.wait()?))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const FEEDS: [Feed; 2] =
        [Feed { device: Device::Cpu, ahead: false }, Feed { device: Device::Cpu, ahead: true }];

    fn arrays(item: &Vec<u8>) -> Vec<HostArray<'_>> {
        vec![HostArray::new(item.as_slice(), &[item.len()]).expect("one dimension")]
    }

    fn items(count: u8) -> impl Iterator<Item = Result<Vec<u8>, TrainError>> + Send {
        (0..count).map(|n| Ok(vec![n, n + 1]))
    }

    #[test]
    fn a_cpu_is_fed_on_the_calling_thread() {
        assert_eq!(Feed::to(Device::Cpu), FEEDS[0]);
        assert_eq!(Feed::to(Device::Cuda(0)), Feed::ahead(Device::Cuda(0)));
        let here = thread::current().id();
        let items = items(3).inspect(|_| assert_eq!(thread::current().id(), here));
        let count = FEEDS[0].run(items, arrays, |fed| fed.count()).unwrap();
        assert_eq!(count, 3);
    }

    #[test]
    fn all_items_come_in_order_with_their_tensors() {
        for feed in FEEDS {
            let seen = feed.run(items(50), arrays, |fed| {
                fed.map(|fed| {
                    let (item, tensors) = fed.unwrap();
                    assert_eq!(tensors.len(), 1);
                    assert_eq!(Vec::<u8>::try_from(&tensors[0]).unwrap(), item);
                    item[0]
                })
                .collect::<Vec<_>>()
            });
            assert_eq!(seen.unwrap(), (0..50).collect::<Vec<_>>());
            assert_eq!(feed.run(items(0), arrays, |fed| fed.count()).unwrap(), 0);
        }
    }

    #[test]
    fn no_more_than_one_is_read_ahead() {
        for (feed, most) in FEEDS.into_iter().zip([1, 2]) {
            let (read, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let counted = items(40).inspect(|_| {
                let held = read.fetch_add(1, Ordering::SeqCst) + 1 - used.load(Ordering::SeqCst);
                assert!(held <= most, "{held} are held");
            });
            feed.run(counted, arrays, |fed| {
                for item in fed {
                    item.unwrap();
                    thread::sleep(Duration::from_micros(300));
                    used.fetch_add(1, Ordering::SeqCst);
                }
            })
            .unwrap();
            assert_eq!(read.into_inner(), 40);
        }
    }

    #[test]
    fn an_error_comes_in_its_place_and_the_rest_may_be_left() {
        for feed in FEEDS {
            let wrong = |n: u8| TrainError::config("number", "another", n);
            let items = (0_u8..20).map(|n| if n == 4 { Err(wrong(n)) } else { Ok(vec![n, n]) });
            let mut good = Vec::new();
            let result = feed.run(items, arrays, |fed| {
                for item in fed {
                    good.push(item?.0[0]);
                }
                Ok::<_, TrainError>(())
            });
            assert_eq!(result.unwrap().unwrap_err().to_string(), wrong(4).to_string());
            assert_eq!(good, [0, 1, 2, 3]);

            let first = feed.run((0_u8..).map(|n| Ok(vec![n % 9])), arrays, |fed| fed.next().is_some());
            assert!(first.unwrap(), "an endless source ends with its body");
        }
    }

    #[test]
    fn a_panic_is_passed_on_from_either_side() {
        for feed in FEEDS {
            let items = || items(9).inspect(|item| assert!(item.as_ref().is_ok_and(|v| v[0] != 5), "five"));
            let reading = catch_unwind(AssertUnwindSafe(|| feed.run(items(), arrays, |fed| fed.count())));
            assert_eq!(reading.unwrap_err().downcast_ref::<&str>(), Some(&"five"));
            let using = catch_unwind(AssertUnwindSafe(|| {
                feed.run(items(), arrays, |fed| assert!(fed.next().is_none(), "there is one"))
            }));
            assert_eq!(using.unwrap_err().downcast_ref::<&str>(), Some(&"there is one"));
        }
    }
}
