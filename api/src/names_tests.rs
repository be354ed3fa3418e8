use super::*;

type Rule = fn(&str) -> Vec<String>;

fn check(rule: Rule, cases: &[(&str, &[&str])]) {
    for (value, expected) in cases {
        let got = rule(value);
        assert_eq!(got.len(), expected.len(), "{value:?}: {got:?}");
        for (got, expected) in got.iter().zip(*expected) {
            assert!(got.starts_with(expected), "{value:?}: {got:?}");
        }
    }
}

#[test]
fn whole_messages_are_upstreams() {
    let cases: &[(Rule, &str, &str)] = &[
        (
            dns1123_label,
            "Bad_Name",
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            dns1123_subdomain,
            "web_1",
            r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            dns1035_label,
            "1st",
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            qualified_name,
            "a/b/c",
            "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ),
        (
            label_value,
            "-x",
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ];
    for (rule, value, expected) in cases {
        assert_eq!(rule(value), [*expected]);
    }
}

#[test]
fn dns_names() {
    let long = "a".repeat(64);
    check(
        dns1123_label,
        &[
            ("a", &[]),
            ("0-9", &[]),
            ("a.b", &["must not contain dots"]),
            ("", &["a lowercase RFC 1123 label"]),
            ("a-", &["a lowercase RFC 1123 label"]),
            (&long, &["must be no more than 63 characters"]),
        ],
    );
    let long = "a".repeat(254);
    check(
        dns1123_subdomain,
        &[
            ("a.b-c.0", &[]),
            ("a..b", &["a lowercase"]),
            (".a", &["a lowercase"]),
            ("A", &["a lowercase"]),
            (&long, &["must be no more than 253 characters"]),
        ],
    );
    check(dns1035_label, &[("a1", &[]), ("1a", &["a DNS-1035"]), ("", &["a DNS-1035"]), ("a.b", &["a DNS-1035"])]);
    check(wildcard_dns1123_subdomain, &[("*.a.b", &[]), ("*", &["a wildcard"]), ("a.b", &["a wildcard"])]);
    check(
        path_segment,
        &[("a:b", &[]), ("..", &["may not be '..'"]), ("a/%", &["may not contain '/'", "may not contain '%'"])],
    );
}

#[test]
fn labels_and_keys() {
    let long = "a".repeat(64);
    check(
        qualified_name,
        &[
            ("simple", &[]),
            ("now-with-dashes/Simple_1", &[]),
            ("", &["name part must be non-empty", "name part must consist"]),
            ("/a", &["prefix part must be non-empty"]),
            ("A/b", &["prefix part a lowercase RFC 1123 subdomain"]),
            (&long, &["name part must be no more than 63 bytes"]),
            ("a b", &["name part must consist"]),
        ],
    );
    check(
        label_value,
        &[("", &[]), ("a", &[]), ("a_", &["a valid label"]), (&long, &["must be no more than 63 bytes"])],
    );
    check(
        config_map_key,
        &[
            ("a.b", &[]),
            (".hidden", &[]),
            ("..", &["must not be '..'"]),
            ("..x", &["must not start"]),
            ("", &["a valid config key"]),
        ],
    );
    check(
        env_var_name,
        &[("1=x", &["a valid environment"]), ("1 x", &[]), ("", &["environment variable name must be non-empty"])],
    );
    check(strict_env_var_name, &[("_A.b", &[]), ("1x", &["a valid environment"]), ("", &["a valid environment"])]);
}

#[test]
fn port_names() {
    check(
        port_name,
        &[
            ("http", &[]),
            ("80", &["must contain at least one letter"]),
            ("a--b", &["must not contain consecutive hyphens"]),
            ("-a", &["must not begin or end with a hyphen"]),
            ("HTTP", &["must contain only alpha-numeric", "must contain at least one letter"]),
            ("abcdefghijklmnop", &["must be no more than 15 characters"]),
        ],
    );
    assert_eq!(port_number(0).as_deref(), Some("must be between 1 and 65535, inclusive"));
    assert_eq!(port_number(65535), None);
    assert_eq!(numeric_id(-1).as_deref(), Some("must be between 0 and 2147483647, inclusive"));
}

#[test]
fn generate_name_may_end_in_a_dash() {
    assert!(for_prefix(dns1123_subdomain, "web-").is_empty());
    assert!(for_prefix(dns1123_subdomain, "Web-").len() == 1);
    assert!(for_prefix(dns1123_subdomain, "web--").is_empty());
    assert!(for_prefix(dns1035_label, "-").len() == 1);
}

#[test]
fn annotations_are_limited_in_sum() {
    let path = Path::new("metadata").child("annotations");
    let of = |key: &str, size: usize| BTreeMap::from([(key.to_owned(), "x".repeat(size))]);
    assert!(validate_annotations(&of("a", ANNOTATIONS_MAX - 1), &path).is_empty());
    let errors = validate_annotations(&of("A", ANNOTATIONS_MAX), &path);
    assert_eq!(errors[0].to_string(), "metadata.annotations: Too long: may not be more than 262144 bytes");
    assert_eq!(validate_annotations(&of("a b", 1), &path)[0].kind, ErrorKind::Invalid);
    let labels = BTreeMap::from([("ok".to_owned(), "b c".to_owned())]);
    let errors = validate_labels(&labels, &path);
    assert!(errors[0].to_string().starts_with("metadata.annotations: Invalid value: \"b c\": a valid label"));
}
