use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The launcher's command line, written by the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub state_dir: PathBuf,
    pub socket: PathBuf,
    pub cgroup_root: String,
}

/// What this program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Start,
    /// Read the state that is in this descriptor.
    Check(i32),
    /// Go on from it.
    TakeOver(i32),
}

impl Options {
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, Task), String> {
        let mut arguments = arguments.into_iter();
        let (mut state_dir, mut socket, mut cgroup_root) = (None, None, None);
        let (mut check, mut take_over) = (None, None);
        while let Some(name) = arguments.next() {
            let place = match name.to_str() {
                Some("--state-dir") => &mut state_dir,
                Some("--socket") => &mut socket,
                Some("--cgroup-root") => &mut cgroup_root,
                Some("--check") => &mut check,
                Some("--take-over") => &mut take_over,
                _ => return Err(format!("launcher: unknown option {name:?}")),
            };
            *place = Some(arguments.next().ok_or_else(|| format!("launcher: option {name:?} needs a value"))?);
        }
        let need =
            |value: Option<OsString>, name: &str| value.ok_or_else(|| format!("launcher: option {name} is missing"));
        let cgroup_root = need(cgroup_root, "--cgroup-root")?.to_string_lossy().into_owned();
        if cgroup_root.contains('/') || !crate::cgroup::is_valid_path(&cgroup_root) {
            return Err(format!("launcher: {cgroup_root:?} is no name for a cgroup"));
        }
        let number = |value: OsString| {
            value
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("launcher: {value:?} is no descriptor"))
        };
        let task = match (check, take_over) {
            (Some(state), _) => Task::Check(number(state)?),
            (None, Some(state)) => Task::TakeOver(number(state)?),
            (None, None) => Task::Start,
        };
        let options = Self {
            state_dir: need(state_dir, "--state-dir")?.into(),
            socket: need(socket, "--socket")?.into(),
            cgroup_root,
        };
        Ok((options, task))
    }

    /// The command line of a start with these options.
    pub fn arguments(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let named = [
            ("--state-dir", path(&self.state_dir)),
            ("--socket", path(&self.socket)),
            ("--cgroup-root", self.cgroup_root.clone()),
        ];
        named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order() {
        let parse = |line: &str| Options::parse(line.split(' ').map(OsString::from));
        let expected = Options { state_dir: "/s".into(), socket: "/s/x".into(), cgroup_root: "setpoint-1".into() };
        let line = "--cgroup-root setpoint-1 --state-dir /s --socket /s/x";
        assert_eq!(parse(line), Ok((expected.clone(), Task::Start)));
        assert_eq!(parse(&format!("{line} --check 7")), Ok((expected.clone(), Task::Check(7))));
        assert_eq!(
            parse(&format!("{} --take-over 8", expected.arguments().join(" "))),
            Ok((expected, Task::TakeOver(8)))
        );
        let cases = [
            ("--state-dir /s --socket /s/x", "launcher: option --cgroup-root is missing"),
            ("--state-dir", "launcher: option \"--state-dir\" needs a value"),
            ("--cgroup-root x --state-dir /s --socket /x --check all", "launcher: \"all\" is no descriptor"),
            ("--colour red", "launcher: unknown option \"--colour\""),
            ("--cgroup-root ../x --state-dir /s --socket /x", "launcher: \"../x\" is no name for a cgroup"),
        ];
        for (line, message) in cases {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }
}
