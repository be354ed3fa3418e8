//! Expressions as Kubernetes compiles them: what they come to, what is wrong with them, what they cost.

use std::collections::BTreeMap;

use cel::cost::{Range, estimate};
use cel::schema::{Declaration, Schema};
use cel::{Env, Error, Program, Type, Value};
use serde_json::json;

fn eval(source: &str) -> Result<bool, String> {
    let checked = Env::kubernetes().compile(source).map_err(|issues| issues.to_string())?;
    let program = Program::new(checked, cel::CALL_LIMIT).map_err(|error| error.to_string())?;
    match program.eval(&BTreeMap::new()).result {
        Ok(Value::Bool(value)) => Ok(value),
        other => other.map(|value| panic!("{source}: {value:?}")).map_err(|error| error.to_string()),
    }
}

#[test]
fn libraries() {
    let holds = [
        "[1, 2, 3].sum() == 6 && [duration('1s'), duration('2s')].sum() == duration('3s')",
        "[3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a' && [1, 1, 2].isSorted() && ![2, 1].isSorted()",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && ['a'].indexOf('b') == -1",
        "[3, 1, 2].sort() == [1, 2, 3] && [[1], [2]].flatten() == [1, 2] && [1, 1, 2].distinct() == [1, 2]",
        "['bb', 'a'].sortBy(text, text.size()) == ['a', 'bb'] && lists.range(3) == [0, 1, 2]",
        "[1, 2, 3].slice(1, 3) == [2, 3] && [1, 2].reverse() == [2, 1]",
        "'abc 123'.find('[0-9]+') == '123' && '1, 2, 3'.findAll('[0-9]', 2) == ['1', '2']",
        "url('https://user:pass@example.com:80/a%20b?k=1&k=2#f').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getPort() == '80' && url('/path').getScheme() == ''",
        "url('https://example.com/?k=1&k=2').getQuery()['k'] == ['1', '2'] && isURL('http://[::1]:80/x')",
        "!isURL('a/b') && !isURL('http://example.com:port/') && url('/a b').getEscapedPath() == '/a%20b'",
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('50k').add(20).compareTo(quantity('50020')) == 0",
        "isQuantity('1Mi') && !isQuantity('1Mo') && sign(quantity('-1')) == -1 && quantity('2k').asInteger() == 2000",
        "ip('192.168.0.1').family() == 4 && ip('::1').isLoopback() && ip.isCanonical('2001:db8::1')",
        "!ip.isCanonical('2001:DB8::1') && !isIP('1.2.3') && !isIP('::ffff:1.2.3.4') && string(ip('::1')) == '::1'",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "cidr('2001:db8::/32').prefixLength() == 32 && !isCIDR('10.0.0.0/33') && cidr('1.2.3.4/8').ip() == ip('1.2.3.4')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
        "semver('v1.2', true).minor() == 2 && !isSemver('v1.2') && isSemver('01.2.3', true)",
        "!format.dns1123Label().validate('a-b').hasValue() && format.dns1123Label().validate('A').value().size() > 0",
        "format.named('uuid').value() == format.uuid() && !format.named('none').hasValue()",
        "'%d is %s'.format([1, [1, 2]]) == '1 is [1, 2]' && '%.2f'.format([1234.567]) == '1,234.57'",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && [1, 2].all(i, v, v == i + 1)",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])",
        "{'a': 1}.?b.orValue(2) == 2 && [1][?5].hasValue() == false && optional.of(1).optMap(x, x + 1).value() == 2",
        "type(ip('::1')) == net.IP && timestamp('2023-01-01T00:00:00+02:00') == timestamp('2022-12-31T22:00:00Z')",
        "string(1000000.0) == '1e+06' && string(100000.0) == '100000' && string(0.00001) == '1e-05'",
    ];
    for source in holds {
        assert_eq!(eval(source), Ok(true), "{source}");
    }
}

#[test]
fn errors() {
    let table = [
        ("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'", 3),
        ("a == 1", "undeclared reference to 'a' (in container '')", 1),
        ("[1, 'a'] == [1]", "expected type 'int' but found 'string'", 5),
        ("'a'.matches('(') ", "invalid matches argument", 0),
        ("duration('x') == duration('1s')", "invalid duration argument", 10),
        ("1 == ", "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!',", 6),
        ("1 == 1 1", "Syntax error: extraneous input '1' expecting <EOF>", 8),
        ("1 == 1 @", "Syntax error: token recognition error at: '@'", 8),
        ("1 == 1 & 1", "Syntax error: token recognition error at: '& '", 8),
        ("'a'.in == 1", "Syntax error: no viable alternative at input '.in'", 5),
        ("'a'.", "Syntax error: no viable alternative at input '.'", 5),
        ("has(1)", "invalid argument to has() macro", 5),
        ("[1].all(1, true)", "argument must be a simple name", 9),
        ("namespace == 1", "reserved identifier: namespace", 1),
        ("'%d'.format(['a']) == ''", "error during formatting: decimal clause can only be used on integers, was", 14),
        ("1.map(x, x) == []", "expression of type 'int' cannot be range of a comprehension", 0),
        ("1 ? true : false", "found no matching overload for '_?_:_' applied to '(int, bool, bool)'", 3),
        ("1 && true", "expected type 'bool' but found 'int'", 1),
    ];
    for (source, text, column) in table {
        let said = eval(source).unwrap_err();
        assert!(said.contains(text), "{source}: {said}");
        assert!(column == 0 || said.contains(&format!("<input>:1:{column}: ")), "{source}: {said}");
    }
    let said = eval("true &&\n  'ä'.x").unwrap_err();
    assert_eq!(said, "ERROR: <input>:2:6: type 'string' does not support field selection\n |   'ä'.x\n | ...．.^");
    let said = eval("").unwrap_err();
    assert!(
        said.starts_with("ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>'") && !said.contains('\n'),
        "{said}"
    );
    let failures = [
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("[1][2] == 1", "index out of bounds: 2"),
        ("dyn(1) + dyn('a') == 2", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("dyn([]).max() == 1", "max called on empty list"),
        ("quantity('x').isInteger()", "quantities must match the regular expression"),
    ];
    for (source, text) in failures {
        assert!(eval(source).unwrap_err().contains(text), "{source}: {:?}", eval(source));
    }
    // What decides hides errors, and the limit does not hide.
    assert_eq!(eval("1 / 0 == 1 || true"), Ok(true));
    assert_eq!(eval("[1, 0].exists(x, 1 / x == 1)"), Ok(true));
    // What cannot be made is not begun.
    for source in [
        "lists.range(9223372036854775807).size() > 0",
        "lists.range(100000).map(x, 'aaaaaaaaaaaaaaaa').join(lists.range(1000).map(x, 'bbbb').join()) == ''",
    ] {
        assert_eq!(eval(source), Err(Error::CostLimit.to_string()), "{source}");
    }
    let long = "lists.range(1000).all(x, lists.range(1000).all(y, true)) || true";
    assert_eq!(eval(long), Err(Error::CostLimit.to_string()));
}

/// Expressions that nest as deep as they may fit into the stack of a thread of the server.
#[test]
fn depth() {
    let nested = |count: usize| format!("{}1{} == 1", "(".repeat(count), ")".repeat(count));
    let loops = |count: usize| format!("{}true{}", "[1].all(x, ".repeat(count), ")".repeat(count));
    let sums = |count: usize| format!("1{} > 0", " + 1".repeat(count));
    let run = move || {
        for make in [&nested as &dyn Fn(usize) -> String, &sums, &loops] {
            assert_eq!(eval(&make(120)), Ok(true));
            assert!(eval(&make(300)).unwrap_err().contains("expression recursion limit exceeded: 250"));
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

/// Lists that a schema calls sets or maps are equal in any order, and add up as such.
#[test]
fn lists_by_schema() {
    let schema = Schema::read(
        &json!({
            "type": "object",
            "properties": {
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                    "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
                }},
                "namespace": {"type": "string"}, "a-b": {"x-kubernetes-int-or-string": true},
                "at": {"type": "string", "format": "date-time"}, "none": {"type": "string", "nullable": true},
            },
        }),
        true,
    );
    let declaration = Declaration::of(&schema, "selfType").unwrap();
    let env = Env::kubernetes().types(declaration.types()).variable("self", declaration.ty.clone());
    let env = env.variable("old", declaration.ty.clone());
    let object = json!({"set": ["a", "b"], "map": [{"k": "x", "v": 1}, {"k": "y", "v": 2}], "namespace": "n", "a-b": 5,
        "at": "2023-01-01T00:00:00Z", "none": null, "metadata": {"name": "m"}});
    let old = json!({"set": ["b", "a"], "map": [{"k": "y", "v": 2}, {"k": "x", "v": 1}]});
    let holds = [
        "self.set == old.set && self.map == old.map && self.set == ['b', 'a'] && !(['b', 'a'] == self.set)",
        "self.set + ['c', 'a'] == ['a', 'b', 'c'] && (self.map + old.map).size() == 2",
        "self.__namespace__ == 'n' && self.a__dash__b == 5 && type(self.a__dash__b) == int",
        "self.at.getFullYear() == 2023 && !has(self.none) && self.metadata.name == 'm' && !has(self.kind)",
        "self.map.exists(e, e.k == 'y' && e.v == 2) && self.?none.orValue('z') == 'z'",
    ];
    for source in holds {
        let checked = env.compile(source).unwrap_or_else(|issues| panic!("{issues}"));
        let read = |json| Value::typed(json, &schema).unwrap();
        let variables = BTreeMap::from([("self", read(&object)), ("old", read(&old))]);
        let result = Program::new(checked, cel::CALL_LIMIT).unwrap().eval(&variables).result;
        assert!(matches!(result, Ok(Value::Bool(true))), "{source}: {result:?}");
    }
}

#[test]
fn costs() {
    let schema = Schema::read(
        &json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 10},
                "free": {"type": "string"},
                "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 4}},
                "all": {"type": "array", "items": {"type": "integer"}},
                "map": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 7}},
            },
        }),
        false,
    );
    let declaration = Declaration::of(&schema, "selfType").unwrap();
    let env = Env::kubernetes().types(declaration.types()).variable("self", declaration.ty.clone());
    let object = json!({"name": "abcdefghijklmnopqrst", "free": "x", "tags": ["a", "b"], "map": {"k": "v"}});
    // What it can cost, and what it costs.
    let table = [
        ("self.name == 'abc'", (3, 3), 3),
        ("self.name.startsWith('abc')", (3, 3), 4),
        ("has(self.name)", (1, 1), 1),
        ("self.tags.all(x, x == 'a')", (3, 28), 13),
        ("self.name in ['a', 'b']", (14, 14), 2),
        ("self.map.all(k, self.map[k] == 'v')", (3, 27), 10),
        ("self.name.contains(self.free)", (4, 1_258_296), 6),
        ("self.tags.size() > 1 ? true : self.name == 'a'", (4, 7), 4),
    ];
    for (source, (min, max), actual) in table {
        let checked = env.compile(source).unwrap_or_else(|issues| panic!("{issues}"));
        assert_eq!(*checked.output(), Type::Bool);
        assert_eq!(estimate(&checked, &declaration), Range { min, max }, "{source}");
        let variables = BTreeMap::from([("self", Value::typed(&object, &schema).unwrap())]);
        let outcome = Program::new(checked, cel::CALL_LIMIT).unwrap().eval(&variables);
        assert_eq!(outcome.cost, actual, "{source}");
    }
}
