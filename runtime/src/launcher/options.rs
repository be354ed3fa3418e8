use std::ffi::OsString;
use std::path::PathBuf;

/// The launcher's command line, written by the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub state_dir: PathBuf,
    pub socket: PathBuf,
    pub cgroup_root: String,
}

impl Options {
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let (mut state_dir, mut socket, mut cgroup_root) = (None, None, None);
        while let Some(name) = arguments.next() {
            let place = match name.to_str() {
                Some("--state-dir") => &mut state_dir,
                Some("--socket") => &mut socket,
                Some("--cgroup-root") => &mut cgroup_root,
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
        Ok(Self {
            state_dir: need(state_dir, "--state-dir")?.into(),
            socket: need(socket, "--socket")?.into(),
            cgroup_root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order() {
        let parse = |line: &str| Options::parse(line.split(' ').map(OsString::from));
        let expected = Options { state_dir: "/s".into(), socket: "/s/x".into(), cgroup_root: "setpoint-1".into() };
        assert_eq!(parse("--cgroup-root setpoint-1 --state-dir /s --socket /s/x"), Ok(expected));
        let cases = [
            ("--state-dir /s --socket /s/x", "launcher: option --cgroup-root is missing"),
            ("--state-dir", "launcher: option \"--state-dir\" needs a value"),
            ("--colour red", "launcher: unknown option \"--colour\""),
            ("--cgroup-root ../x --state-dir /s --socket /x", "launcher: \"../x\" is no name for a cgroup"),
        ];
        for (line, message) in cases {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }
}
