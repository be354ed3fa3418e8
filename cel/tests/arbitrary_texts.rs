//! Whoever may write a definition writes expressions: none of them panics, or costs more than its limit allows.

use std::collections::BTreeMap;

use cel::cost::estimate;
use cel::{Env, Program, Type, Value};
use proptest::prelude::*;
use serde_json::json;

/// Texts made of what expressions are made of, which get further than random characters.
fn expressions() -> impl Strategy<Value = String> {
    let words = "(self|\\.a|\\.b|\\[0\\]|\\[\\?1\\]|\\.\\?c|x|y|1|2u|-3|1\\.5|0x1f|'s'|\"t\"|b'u'|r'v'|true|null|int|type|\\(|\\)|\\[|\\]|\\{|\\}|,|:| \\? | == | != | < | && | \\|\\| | \\+ | - | \\* | / | % | in |!|-|has|size|dyn|string|\\.all\\(x, |\\.map\\(x, |\\.exists\\(x, y, |\\.filter\\(y, |\\.sortBy\\(x, |\\.join\\(|\\.replace\\(|\\.split\\(|\\.format\\(|\\.orValue\\(|\\.optMap\\(x, |lists\\.range\\(|quantity\\(|url\\(|ip\\(|cidr\\(|semver\\(|duration\\(|timestamp\\(|\\.matches\\()";
    let built = proptest::string::string_regex(&format!("{words}{{0,14}}")).expect("a valid alphabet");
    let object = Just("self".to_owned()).boxed();
    let calls = prop::collection::vec(
        prop::sample::select(vec![
            ".b.all(x, x == 'p')",
            ".b.map(x, x + x)",
            ".a",
            ".b",
            ".b[0]",
            ".?c",
            ".orValue('d')",
            ".size()",
            ".replace('', self.a)",
            ".split('')",
            ".join(self.a)",
            ".sort()",
            ".flatten()",
            ".map(x, [x, x])",
            ".contains('a')",
            ".transformList(i, v, v)",
            ".isSorted()",
            ".format([1, self.a])",
        ]),
        0..8,
    );
    let chained = (object, calls).prop_map(|(object, calls)| format!("{object}{}", calls.concat()));
    prop_oneof![built, chained, any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn expressions_end(text in expressions()) {
        let environments = [
            Env::kubernetes().variable("self", Type::Dyn),
            Env::common().variable("self", Type::map(Type::String, Type::Dyn)),
        ];
        let object = json!({"a": "q", "b": ["p", "q"], "c": null});
        for env in environments {
            match env.compile(&text) {
                Err(issues) => prop_assert!(!issues.to_string().is_empty()),
                Ok(checked) => {
                    let range = estimate(&checked, &());
                    prop_assert!(range.min <= range.max || range.max == 0, "{range:?}");
                    let Ok(program) = Program::new(checked, 10_000) else { continue };
                    let variables = BTreeMap::from([("self", Value::from_json(&object))]);
                    program.eval(&variables);
                }
            }
        }
    }
}
