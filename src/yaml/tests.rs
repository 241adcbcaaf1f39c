#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<serde_json::Value> {
    parse(text, &Limits::default()).unwrap().iter().map(Node::to_json).collect()
}

fn errors(text: &str) -> Vec<String> {
    parse(text, &Limits::default()).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    for (text, expected) in [
        ("~", json!(null)),
        ("True", json!(true)),
        ("yes", json!("yes")),
        ("on", json!("on")),
        ("12", json!(12)),
        ("+12", json!(12)),
        ("-0", json!(0)),
        ("0x1F", json!(31)),
        ("0o14", json!(12)),
        ("012345678901", json!("012345678901")),
        ("1_000", json!("1_000")),
        ("1e3", json!(1000.0)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("12e5678", json!("12e5678")),
        ("10.0.0.0/8", json!("10.0.0.0/8")),
        ("-", json!([null])),
        ("--", json!("--")),
        (".inf", json!(".inf")),
        ("'12'", json!("12")),
        ("!!str 12", json!("12")),
        ("! 12", json!("12")),
        ("!!float 12", json!(12.0)),
        ("2026-11-21", json!("2026-11-21")),
        ("12:30:45", json!("12:30:45")),
    ] {
        assert_eq!(read(text), [expected], "{text}");
    }
}

#[test]
fn documents_split_where_yaml_says_so() {
    let text = "a: |\n  one\n  ---\n  two\n---\nb: 1\n...\n---\n# nothing\n";
    assert_eq!(read(text), [json!({"a": "one\n---\ntwo\n"}), json!({"b": 1}), json!(null)]);
    assert!(read("").is_empty() && read("# only a comment\n").is_empty());
}

#[test]
fn positions_are_those_of_the_text() {
    let root = &parse("# x\na:\n  b:\n  - c: 1\n    d: two\n", &Limits::default()).unwrap()[0];
    let node = root.lookup("a.b[0].d").unwrap();
    assert_eq!((node.line, node.column), (5, 8));
    assert_eq!(root.lookup("a.b[0]").unwrap().line, 4);
    assert_eq!(root.get("a").unwrap().entry("b").unwrap().line, 3);
    assert!(root.lookup("a.b[1]").is_none() && root.lookup("a..b").is_none());
    let dotted = &parse("l: {a.b/c: 1}", &Limits::default()).unwrap()[0];
    assert_eq!(dotted.lookup("l[\"a.b/c\"]").unwrap().value, Value::Int(1));
}

#[test]
fn merge_keys_fill_in_what_is_not_given() {
    let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\n\
                one: {<<: *b, x: 9}\nall: {<<: [*b, *m], w: 0}\nquoted: {'<<': 1}\n";
    let root = &read(text)[0];
    assert_eq!(root["one"], json!({"x": 9, "y": 2}));
    assert_eq!(root["all"], json!({"x": 1, "y": 2, "z": 4, "w": 0}));
    assert_eq!(root["quoted"], json!({"<<": 1}));
    assert_eq!(errors("a: {<<: 1}"), ["line 1, column 9: `<<` wants a map or a list of maps"]);
}

#[test]
fn keys_are_text_and_given_once_and_all_problems_come_at_once() {
    assert_eq!(read("8080: a\ntrue: b\n1.50: c"), [json!({"8080": "a", "true": "b", "1.50": "c"})]);
    let found =
        errors("a: 1\nb: {c: 1, c: 2}\na: 2\n~: 3\n[x]: 4\ne: !foo 5\nf: 99999999999999999999\n");
    assert_eq!(found[0], "line 2, column 11: key `c` is given twice (first on line 2)");
    assert_eq!(found[1], "line 3, column 1: key `a` is given twice (first on line 1)");
    assert!(found[2].contains("line 4") && found[2].contains("null"), "{found:?}");
    assert!(found[3].contains("line 5") && found[3].contains("list"), "{found:?}");
    assert!(found[4].contains("line 6") && found[4].contains("!foo"), "{found:?}");
    assert!(found[5].contains("line 7") && found[5].contains("64 bits"), "{found:?}");
    assert_eq!(found.len(), 6);
    assert_eq!(errors(&"a: 1\n".repeat(10_000)).len(), 101);
    assert_eq!(errors("b: &b {x: 1}\n<<: *b\n<<: *b\n").len(), 1);
    assert_eq!(read("a: &k 8080\n*k : b")[0]["8080"], json!("b"));
    let many: String = (0..40).map(|key| format!("k{key}: 1\n")).collect();
    assert_eq!(
        errors(&format!("{many}k3: 2\nk39: 2\n")),
        [
            "line 41, column 1: key `k3` is given twice (first on line 4)",
            "line 42, column 1: key `k39` is given twice (first on line 40)",
        ]
    );
}

#[test]
fn hostile_text_ends_within_the_limits() {
    let mut laughs = "a0: &a0 [lol]\n".to_owned();
    for level in 1..=30 {
        let alias = format!("*a{}", level - 1);
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", "));
    }
    assert!(errors(&laughs)[0].contains("aliases expanded"));

    let mut tower = "a0: &a0 [x]\n".to_owned();
    for level in 1..=10_000 {
        let _ = writeln!(tower, "a{level}: &a{level} [*a{}]", level - 1);
    }
    assert!(errors(&tower)[0].contains("nested deeper"));

    let block: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), block] {
        let found = errors(&deep);
        assert_eq!(found.len(), 1, "{found:?}");
    }
    assert!(errors("a: &a [*a]")[0].contains("inside the value"));
    assert!(errors("a: 1\nb: x\0y\nc: 3")[0].contains("line 2, column 5"));
    assert!(errors(&"x".repeat((8 << 20) + 1))[0].contains("limit"));
    assert!(!errors("a: *nothing").is_empty());
}

#[test]
fn line_breaks_of_old_keep_their_value() {
    for text in ["\u{2028}", "a\u{2029}b", "one\u{85}  two"] {
        let value = json!([[text], {"key": text}]);
        assert_eq!(read(&to_text(&value)), std::slice::from_ref(&value), "{text:?}");
        let theirs: serde_json::Value = serde_yaml::from_str(&to_text(&value)).unwrap();
        assert_eq!(theirs, value, "{text:?}");
    }
}

/// Values whose text both readers must take alike; the differences are in the table above.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (-1.0e6..1.0e6f64).prop_map(|value| json!(value)),
        "\\PC{0,12}".prop_map(|text| json!(text)),
        "[a-z: #\\-\n'\"%&*!|>{}\\[\\]0-9.~]{0,12}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| json!(items)),
            prop::collection::btree_map("[a-z~0-9: .-]{1,8}", inner, 0..5)
                .prop_map(|map| json!(map)),
        ]
    })
}

/// A document is a list or a map. One that is nothing but a block of empty lines is refused by one of
/// the readers, as is told below.
fn any_document() -> impl Strategy<Value = serde_json::Value> {
    any_value().prop_map(|value| match value {
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => value,
        scalar => json!([scalar]),
    })
}

#[test]
fn a_document_of_empty_lines_is_refused_and_not_misread() {
    assert!(errors("---\n|2+\n\n---\nnull\n")[0].contains("block scalar"));
}

proptest! {
    #[test]
    fn both_readers_see_the_same_values(values in prop::collection::vec(any_document(), 1..4)) {
        let text: String = values.iter().map(|value| format!("---\n{}", to_text(value))).collect();
        let theirs: Vec<serde_json::Value> = serde_yaml::Deserializer::from_str(&text)
            .map(|document| serde::Deserialize::deserialize(document).unwrap())
            .collect();
        prop_assert_eq!(&theirs, &values);
        prop_assert_eq!(read(&text), values);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-c:\\-?&*<!|>'\" \n\t#{}\\[\\],%@0-9]{0,80}") {
        // When both accept a text, they see the same; neither may panic.
        let ours = parse(&text, &Limits::default());
        let _ = ours.map(|documents| documents.iter().map(Node::to_json).collect::<Vec<_>>());
    }
}
