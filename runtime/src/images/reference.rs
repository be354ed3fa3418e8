//! Image references in the form that the distribution project's `reference` package normalizes to.

use super::{ImageError, Result};

/// `busybox` -> `docker.io/library/busybox:latest`; `host:5000/a/b@sha256:…` stays as it is. With a digest the tag is dropped.
pub fn normalize(reference: &str) -> Result<String> {
    let fail = |reason| ImageError::Reference { reference: reference.to_owned(), reason };
    if reference.is_empty() {
        return Err(fail("it is empty"));
    }
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => {
            super::digest::Digest::parse(digest).ok_or_else(|| fail("the digest is not sha256 and 64 hex digits"))?;
            (rest, Some(digest))
        }
        None => (reference, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(tag) = tag {
        let head = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let body = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !head || !body || tag.len() > 128 {
            return Err(fail("the tag has a character that tags do not have"));
        }
    }
    let (domain, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path.to_owned()),
        _ => ("docker.io", name.to_owned()),
    };
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    let path = if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
    let component = |part: &str| {
        let inner =
            part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        inner && edge(part.bytes().next()) && edge(part.bytes().last())
    };
    if !path.split('/').all(component) {
        return Err(fail("the name must be lower case letters, digits and separators"));
    }
    Ok(match digest {
        Some(digest) => format!("{domain}/{path}@{digest}"),
        None => format!("{domain}/{path}:{}", tag.unwrap_or("latest")),
    })
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn references_become_fully_qualified() {
        let hex = "a".repeat(64);
        let pinned = format!("busybox:1@sha256:{hex}");
        let pinned_full = format!("docker.io/library/busybox@sha256:{hex}");
        let cases = [
            ("busybox", Some("docker.io/library/busybox:latest")),
            ("busybox:1.37.0-1", Some("docker.io/library/busybox:1.37.0-1")),
            ("setpoint/demo:v1", Some("docker.io/setpoint/demo:v1")),
            ("registry.k8s.io/pause:3.10", Some("registry.k8s.io/pause:3.10")),
            ("localhost:5000/a/b", Some("localhost:5000/a/b:latest")),
            ("index.docker.io/library/x", Some("docker.io/library/x:latest")),
            (pinned.as_str(), Some(pinned_full.as_str())),
            ("", None),
            ("UPPER", None),
            ("busybox:", None),
            ("busybox@sha256:12", None),
            ("a//b", None),
        ];
        for (input, expected) in cases {
            assert_eq!(normalize(input).ok().as_deref(), expected, "{input}");
        }
    }
}
