use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Why a process could not be started; `code` is what a shell would answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartError {
    pub code: i32,
    pub message: String,
}

/// The command does not exist.
pub const NOT_FOUND: i32 = 127;
/// The command exists and may not be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// Anything else went wrong before the command.
pub const FAILED: i32 = 128;

impl StartError {
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }
}

/// Says at which step a start failed.
pub trait Step<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StartError>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StartError> {
        self.map_err(|error| StartError::failed(format!("{}: {error}", what())))
    }
}
