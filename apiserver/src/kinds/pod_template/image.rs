//! What the name of an image says about pulling it.

const MAX_PATH: usize = 255;

/// `Always` for the tag `latest`, given or implied; `IfNotPresent` for every other tag and for digests. A name that is no image
/// name gets `IfNotPresent`, as upstream: the node reports it.
pub fn pull_policy(image: &str) -> &'static str {
    match tag(image) {
        Some("latest") => "Always",
        _ => "IfNotPresent",
    }
}

/// The tag, `latest` when there is neither tag nor digest. `None` for a digest without a tag and for what is no image name.
fn tag(image: &str) -> Option<&str> {
    if image.is_empty() || image.chars().any(|letter| letter.is_whitespace()) {
        return None;
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let (repository, tag) = match last.split_once(':') {
        Some((repository, tag)) => (&name[..name.len() - last.len() + repository.len()], Some(tag)),
        None => (name, None),
    };
    // A domain may have capitals, a repository may not: `Busybox` is no image name.
    let path = match repository.split_once('/') {
        Some((domain, rest))
            if domain.contains(['.', ':']) || domain == "localhost" || domain != domain.to_lowercase() =>
        {
            rest
        }
        _ => repository,
    };
    // Without a domain and a folder it is one of `library/`, whose name counts.
    let implied = if repository.contains('/') { 0 } else { "library/".len() };
    if path.len() + implied > MAX_PATH {
        return None;
    }
    if path.is_empty() || path.chars().any(|letter| letter.is_ascii_uppercase()) {
        return None;
    }
    tag.or(digest.is_none().then_some("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_follows_the_tag() {
        let table = [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("localhost:5000/team/app", "Always"),
            ("localhost:5000/team/app:v2", "IfNotPresent"),
            ("app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "IfNotPresent"),
            ("app:latest@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "Always"),
            ("Registry.example/app", "Always"),
            ("Busybox", "IfNotPresent"),
            ("", "IfNotPresent"),
        ];
        for (image, expected) in table {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
