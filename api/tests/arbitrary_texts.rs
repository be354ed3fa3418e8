//! What users write may be anything: no parser panics, and what a parser accepts it can write and read again.

use api::jsonpath::JsonPath;
use api::quantity::Quantity;
use api::selector::{FieldSelector, LabelSelector};
use api::time;
use proptest::prelude::*;
use serde_json::json;

/// Texts made of what the syntaxes are made of, which reach further than random characters.
fn syntax(alphabet: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![proptest::string::string_regex(alphabet).expect("a valid alphabet"), any::<String>()]
}

proptest! {
    #[test]
    fn quantities(text in syntax("[-+0-9.]{1,24}[eEinumkKMGTP]{0,2}[-+0-9]{0,3}")) {
        if let Ok(quantity) = Quantity::parse(&text) {
            let again = Quantity::parse(&quantity.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&quantity));
            prop_assert_eq!(quantity.cmp(&Quantity::zero()).is_lt(), quantity.is_negative());
            let mut twice = quantity.clone();
            twice.add(&quantity);
            twice.sub(&quantity);
            prop_assert_eq!(&twice, &quantity);
            let _ = (quantity.value(), quantity.milli_value(), quantity.to_i64(), quantity.to_f64());
        }
    }

    #[test]
    fn label_selectors(text in syntax("(!|in|notin|a|b/c|=|==|!=|,|\\(|\\)|>|<|1| ){0,12}")) {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn field_selectors(text in syntax("(a|b\\.c|=|==|!=|,|\\\\){0,8}")) {
        if let Ok(selector) = FieldSelector::parse(&text) {
            let values = |selector: &FieldSelector| {
                let mut terms = selector.terms.clone();
                terms.sort();
                terms
            };
            let again = FieldSelector::parse(&selector.to_string());
            prop_assert_eq!(again.as_ref().map(values), Ok(values(&selector)));
        }
    }

    #[test]
    fn json_paths(text in syntax("(\\{|\\}|\\.|\\.\\.|a|\\*|\\[|\\]|-1|0|:|\\?\\(|\\)|@|==|\"x\"|range |end|'| ){0,14}")) {
        if let Ok(path) = JsonPath::parse(&text) {
            let _ = path.allow_missing_keys(true).render(&json!({"a": [{"a": "x"}, 0, null]}));
        }
    }

    #[test]
    fn times_and_durations(text in syntax("[-+0-9TZ:.]{0,30}|[0-9.]{0,4}(ns|us|ms|s|m|h)[0-9]{0,20}(s|m)?")) {
        if let Ok(instant) = time::parse_time(&text) {
            let _ = time::format_micro_time(instant);
        }
        if let Ok(duration) = time::parse_duration(&text) {
            prop_assert_eq!(time::parse_duration(&time::format_duration(duration)), Ok(duration));
        }
    }
}
