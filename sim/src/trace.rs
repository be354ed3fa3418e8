//! What happened, as a hash and as the last lines of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;

/// Clones share it.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    hash: u64,
    /// When, and what.
    lines: VecDeque<(u64, String)>,
    keep: usize,
    print: bool,
}

impl Trace {
    /// `keep`: how many lines to have at hand when something goes wrong. `print`: tell each as it comes.
    pub fn new(keep: usize, print: bool) -> Trace {
        let inner = Inner { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::new(), keep, print };
        Trace(Arc::new(Mutex::new(inner)))
    }

    pub fn line(&self, text: impl FnOnce() -> String) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text();
        let now = clock::now();
        inner.mix(now);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            inner.mix(u64::from_le_bytes(word));
        }
        if inner.print {
            tracing::info!("{}", timed(now, &text));
        }
        if inner.lines.len() >= inner.keep {
            inner.lines.pop_front();
        }
        inner.lines.push_back((now, text));
    }

    pub fn hash(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hash
    }

    pub fn last(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().map(|(at, text)| timed(*at, text)).collect()
    }
}

fn timed(at: u64, text: &str) -> String {
    let millis = at / clock::MILLISECOND;
    format!("{:>6}.{:03} {text}", millis / 1000, millis % 1000)
}

impl Inner {
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
}
