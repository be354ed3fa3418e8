use serde_json::json;

use super::*;

fn nodes() -> Value {
    json!({"kind": "List", "items": [
        {"kind": "None", "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
         "status": {"capacity": {"cpu": "4"}, "ready": true, "addresses": [{"type": "Legacy", "address": "127.0.0.1"}]}},
        {"kind": "None", "metadata": {"name": "n2", "labels": {"kubernetes.io/hostname": "n2"}},
         "status": {"capacity": {"cpu": "8"}, "ready": false, "addresses": [{"type": "Legacy", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}}
    ], "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}}]})
}

fn check(data: &Value, cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        let path = JsonPath::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
        let got = path.render(data).unwrap_or_else(|error| panic!("{template}: {error}"));
        assert_eq!(got, *expected, "{template}");
    }
}

#[test]
fn objects() {
    check(
        &nodes(),
        &[
            ("hello {.kind}", "hello List"),
            ("{$.kind}", "List"),
            ("{@.kind}", "List"),
            ("{.items[*].metadata.name}", "n1 n2"),
            ("{range .items[*]}{.metadata.name}, {end}{.kind}", "n1, n2, List"),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{end}", "n1\tn2\t"),
            ("{.items[*].status.addresses[*].address}", "127.0.0.1 127.0.0.2 127.0.0.3"),
            (
                "{range .items[*]}{range .status.addresses[*]}{.address}, {end}{end}",
                "127.0.0.1, 127.0.0.2, 127.0.0.3, ",
            ),
            (
                "{range .items[*]}{.metadata.name}:{range .status.addresses[*]}{.type},{end};{end}!",
                "n1:Legacy,;n2:Legacy,another,;!",
            ),
            ("{.items[*]['metadata.name', 'status.capacity']}", r#"n1 n2 {"cpu":"4"} {"cpu":"8"}"#),
            (
                "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                r#"[n1, {"cpu":"4"}] [n2, {"cpu":"8"}] "#,
            ),
            (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
            (r#"{.users[?(@.name!="e2e")].name}"#, "myself"),
            ("{.users[?(@.user.password)].name}", "e2e"),
            (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "n1"),
            (r"{.items[1].metadata.labels['kubernetes\.io/hostname']}", "n2"),
            (r#"{.items[?(@.metadata.labels.kubernetes\.io/hostname=="n1")].kind}"#, "None"),
            ("{.items[?(@..ready==true)].metadata.name}", "n1"),
            ("{.items[?(.kind==\"None\")]['metadata.name']}", "n1 n2"),
            ("{..name}", "n1 n2 myself e2e"),
            ("{...name}", "n1 n2 myself e2e"),
            ("{.users[0].user}", "{}"),
            ("{\"{\"}{'}'}", "{}"),
            (
                "{range .users[*]}{@.*}{\"\\n\"}{end}",
                "myself {}\ne2e {\"password\":\"secret\",\"username\":\"admin\"}\n",
            ),
        ],
    );
}

#[test]
fn lists_and_numbers() {
    check(
        &json!([0, 1, 2, 3, 4]),
        &[
            ("{[1,3,4]}", "1 3 4"),
            ("{[0:2]}", "0 1"),
            ("{[-2:]}", "3 4"),
            ("{[-1]}", "4"),
            ("{[::2]}", "0 2 4"),
            ("{[1:4:2]}", "1 3"),
            ("{[?(@<2)]}", "0 1"),
            ("{[?(@>=3)]}", "3 4"),
            ("{..}", "[0,1,2,3,4]"),
            ("{[2:2]}", ""),
        ],
    );
    check(
        &json!([{"id": "a", "x": 4, "y": null}, {"id": "b", "x": -2, "z": 1, "f": 1234567.0, "s": "<&>"}]),
        &[
            ("{[?(@.z)].id}", "b"),
            ("{[?(@.x<0)].id}", "b"),
            ("{[0]['id']}", "a"),
            ("{[0].y}", "null"),
            ("{[1].f}", "1.234567e+06"),
            ("{[1].s}", "<&>"),
            ("{[1]}", r#"{"f":1234567,"id":"b","s":"\u003c\u0026\u003e","x":-2,"z":1}"#),
            ("{true}{1.5}{7}", "true1.57"),
        ],
    );
}

#[test]
fn refused_templates() {
    let cases = [
        ("{", "unclosed action"),
        ("{.a", "unclosed action"),
        ("{.a\n}", "unclosed action"),
        ("{|}", "unrecognized character in action: U+007C '|'"),
        ("{....a}", "invalid multiple recursive descent"),
        ("{[0}", "unterminated array"),
        ("{[x]}", "invalid array index x"),
        ("{[-]}", "array index - is not a number"),
        ("{[?(@.a}", "unterminated filter"),
        ("{[?(@.a)}", "unclosed array expect ]"),
        ("{\"a}", "unterminated quoted string"),
        (r#"{"\q"}"#, r#"unquote string "\q" error invalid syntax"#),
        ("{1.2.3}", "cannot parse number 1.2.3"),
    ];
    for (template, message) in cases {
        assert_eq!(JsonPath::parse(template).unwrap_err().to_string(), message, "{template}");
    }
}

#[test]
fn failing_evaluations() {
    let cases = [
        ("{hello}", "unrecognized identifier hello"),
        ("{.hello}", "hello is not found"),
        ("{.users.name}", "name is not found"),
        ("{.items[0].metadata[0]}", "map[string]interface {} is not array or slice"),
        ("{.users[2]}", "array index out of bounds: index 2, length 2"),
        ("{.users[-3]}", "array index out of bounds: index -1, length 2"),
        ("{.users[?(@.name<>1)]}", "incompatible types for comparison"),
        ("{.users[?(@.name<>\"a\")]}", "unrecognized filter operator <>"),
        ("{range .users[*]}{.name}{end}{end}", "not in range, nothing to end"),
        ("{.kind[?(@.x)]}", "List is not array or slice and cannot be filtered"),
    ];
    for (template, message) in cases {
        let error = JsonPath::parse(template).unwrap().render(&nodes()).unwrap_err();
        assert_eq!(error.to_string(), message, "{template}");
    }
}

#[test]
fn missing_keys_may_be_allowed() {
    let cases = [
        ("before-{.hello}after", "before-after"),
        ("{range .none[*]}{.metadata.name}{\":\"}{range @.spec.containers[*]}{.name}{\",\"}{end}{\"+\"}{end}!", "!"),
        ("{range .items[*]}{.metadata.name}{range .none[*]}{.x}{end};{end}", "n1;n2;"),
    ];
    for (template, expected) in cases {
        let path = JsonPath::parse(template).unwrap().allow_missing_keys(true);
        assert_eq!(path.render(&nodes()).unwrap(), expected, "{template}");
    }
}

#[test]
fn json_output_is_a_list() {
    let path = JsonPath::parse("{.users[0]}").unwrap();
    let expected = "[\n    {\n        \"name\": \"myself\",\n        \"user\": {}\n    }\n]\n";
    assert_eq!(path.render_json(&nodes()).unwrap(), expected);
}

#[test]
fn relaxed_paths() {
    let cases =
        [("", ""), ("a.b", "{.a.b}"), (".a.b", "{.a.b}"), ("{a.b}", "{.a.b}"), ("{.a.b}", "{.a.b}"), (".", "{..}")];
    for (text, expected) in cases {
        assert_eq!(relaxed(text).unwrap(), expected, "{text}");
    }
    for text in ["{a", "a}", "{}", "a{b}"] {
        assert_eq!(relaxed(text), Err(ParseError::Relaxed), "{text}");
    }
}

#[test]
fn evaluations_end() {
    let nested = (0..30).fold(json!("x"), |inner, _| json!([inner]));
    let unions = format!("{{@{}}}", "[0,0]".repeat(30));
    let cases =
        [(json!({}), "{range .a}".repeat(100_000), EvaluateError::TooDeep), (nested, unions, EvaluateError::TooMany)];
    for (data, template, error) in cases {
        let path = JsonPath::parse(&template).unwrap().allow_missing_keys(true);
        assert_eq!(path.find(&data).unwrap_err(), error, "{}", &template[..20]);
    }
}
