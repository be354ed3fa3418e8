//! One component: its tasks, on a runtime of its own, run only when the simulator gives it a turn.
//!
//! A crash drops the runtime, and with it every task where it stands. A machine meets others only on the wire, so that is a
//! crash between any two of its messages.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::clock;

#[derive(Default)]
pub struct Machine {
    runtime: Option<Runtime>,
    /// The turn that waits for the runtime to have nothing to do.
    turn: Arc<Mutex<Option<Waker>>>,
    /// How much its wall clock is fast, in nanoseconds. A crash does not mend it.
    pub skew: i64,
    /// There may be something to do.
    pub dirty: bool,
}

impl Machine {
    pub fn is_up(&self) -> bool {
        self.runtime.is_some()
    }

    /// Starts the runtime and the component's first task, made by `main` inside of it.
    ///
    /// # Panics
    /// When no runtime can be made, which takes no more than memory.
    pub fn start<F>(&mut self, main: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let turn = self.turn.clone();
        let stalled = move || {
            if let Some(waker) = turn.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
        };
        let runtime = Builder::new_current_thread().enable_time().on_thread_park(stalled).build();
        let runtime = runtime.expect("a runtime without IO needs nothing that could fail");
        clock::set_skew(self.skew);
        {
            let _context = runtime.enter();
            runtime.spawn(main());
        }
        self.runtime = Some(runtime);
        self.dirty = true;
    }

    pub fn crash(&mut self) {
        self.dirty = false;
        if let Some(runtime) = self.runtime.take() {
            clock::set_skew(self.skew);
            runtime.shutdown_background();
        }
    }

    /// A task of the component, from outside; nothing when it is down.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let task = self.runtime.as_ref()?.spawn(task);
        self.dirty = true;
        Some(task.abort_handle())
    }

    /// Lets it do all that it can do at this moment: timers that are due, and whatever follows without waiting.
    pub fn turn(&mut self) {
        self.dirty = false;
        let Some(runtime) = &self.runtime else { return };
        clock::set_skew(self.skew);
        let turn = self.turn.clone();
        runtime.block_on(async {
            // Looks at the timers.
            tokio::task::yield_now().await;
            let mut asked = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut asked, true) && turn.lock().unwrap_or_else(PoisonError::into_inner).is_none()
                {
                    return Poll::Ready(());
                }
                *turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
        });
        clock::set_skew(0);
    }
}
