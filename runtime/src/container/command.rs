//! The command line: its environment, and the file that it names.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use super::error::{FAILED, NOT_EXECUTABLE, NOT_FOUND, StartError};

/// When the environment names none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment a process gets: `env` with later entries winning, and what engines add when it is missing.
pub fn environment(env: &[String], home: &str, hostname: &str, terminal: bool) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry.len(), |(name, _)| name.len());
    let mut merged: Vec<String> = Vec::with_capacity(env.len() + 4);
    let mut places: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for entry in env {
        match places.get(&entry[..name(entry)]) {
            Some(place) => entry.clone_into(&mut merged[*place]),
            None => {
                places.insert(&entry[..name(entry)], merged.len());
                merged.push(entry.clone());
            }
        }
    }
    let term = if terminal { "xterm" } else { "" };
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOSTNAME", hostname), ("HOME", home), ("TERM", term)] {
        if !places.contains_key(name) && !value.is_empty() {
            merged.push(format!("{name}={value}"));
        }
    }
    merged
}

/// The file that a command names, looked for as the shell does, by the user who will execute it.
pub fn find(command: &str, environment: &[String]) -> Result<PathBuf, StartError> {
    let refuse = |code, what: &str| StartError { code, message: format!("exec: {command:?}: {what}") };
    if command.is_empty() {
        return Err(refuse(NOT_FOUND, "executable file not found in $PATH"));
    }
    if command.contains('/') {
        let path = PathBuf::from(command);
        return match check(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(refuse(NOT_EXECUTABLE, "permission denied"))
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(refuse(NOT_EXECUTABLE, "is a directory")),
            Err(error) if is_missing(&error) => Err(refuse(NOT_FOUND, &format!("stat {command}: {}", text(&error)))),
            Err(error) => Err(refuse(FAILED, &text(&error))),
        };
    }
    let path = environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(command))
        .find(|candidate| check(candidate).is_ok())
        .ok_or_else(|| refuse(NOT_FOUND, "executable file not found in $PATH"))
}

fn check(path: &Path) -> io::Result<()> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Upstream's words, without Rust's error number.
fn text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory".into(),
        Some(libc::ENOTDIR) => "not a directory".into(),
        Some(libc::EACCES) => "permission denied".into(),
        Some(libc::ENOEXEC) => "exec format error".into(),
        _ => error.to_string(),
    }
}

/// Becomes the command. Returns only what went wrong.
pub fn execute(path: &Path, args: &[String], environment: &[String]) -> StartError {
    let strings = |list: &[String]| -> Result<Vec<CString>, StartError> {
        let convert = |text: &String| CString::new(text.as_bytes());
        list.iter().map(convert).collect::<Result<_, _>>().map_err(|_| StartError::failed("exec: a string holds a NUL"))
    };
    let prepare = || -> Result<_, StartError> {
        let path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| StartError::failed("exec: the path holds a NUL"))?;
        Ok((path, strings(args)?, strings(environment)?))
    };
    let (file, args, environment) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&environment));
    // SAFETY: both arrays end with a null pointer and their strings outlive the call.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let error = io::Error::last_os_error();
    let code = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => NOT_FOUND,
        Some(libc::EACCES | libc::EPERM) => NOT_EXECUTABLE,
        _ => FAILED,
    };
    StartError { code, message: format!("exec {}: {}", path.display(), text(&error)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn later_variables_win_in_the_first_place() {
        let env = ["A=1", "PATH=/bin", "A=2", "EMPTY=", "A=3"].map(str::to_owned);
        let expected = ["A=3", "PATH=/bin", "EMPTY=", "HOSTNAME=web-0", "HOME=/root", "TERM=xterm"];
        assert_eq!(environment(&env, "/root", "web-0", true), expected);
        assert!(!environment(&env, "/", "", false).iter().any(|entry| entry.starts_with("TERM")));
    }

    #[test]
    fn a_command_is_found_or_the_reason_is_said() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = |name: &str| dir.path().join(name).to_str().expect("utf-8").to_owned();
        std::fs::write(path("tool"), "").expect("write");
        std::fs::set_permissions(path("tool"), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        std::fs::write(path("data"), "").expect("write");
        std::fs::set_permissions(path("data"), std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let env = vec![format!("PATH=/nowhere:{}", dir.path().display())];
        let (tool, data, gone) = (path("tool"), path("data"), path("gone"));
        let directory = dir.path().to_str().expect("utf-8");
        let missing = format!("exec: {gone:?}: stat {gone}: no such file or directory");
        type Case<'a> = (&'a str, Result<&'a str, (i32, String)>);
        let cases: [Case<'_>; 7] = [
            ("tool", Ok(&tool)),
            (&tool, Ok(&tool)),
            ("foo", Err((127, "exec: \"foo\": executable file not found in $PATH".into()))),
            ("data", Err((127, "exec: \"data\": executable file not found in $PATH".into()))),
            (&data, Err((126, format!("exec: {data:?}: permission denied")))),
            (&gone, Err((127, missing))),
            (directory, Err((126, format!("exec: {directory:?}: is a directory")))),
        ];
        for (command, expected) in cases {
            let got = find(command, &env).map_err(|error| (error.code, error.message));
            assert_eq!(got, expected.map(PathBuf::from), "{command}");
        }
    }
}
