#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::finding::{Finding, PlaceRole, has_errors};

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.add(path, (*text).to_owned(), &crate::yaml::Limits::default());
    }
    tree
}

/// Renders cluster `c` of a fleet with one template `a` and given vars.
fn one(template: &str, vars: &str) -> Rendered {
    let files = [("templates/a.yaml.j2", template), ("vars/c.yaml", vars)];
    render(&tree(&files), "c", &[], &Limits::default())
}

fn text_of(rendered: &Rendered) -> &str {
    assert!(!has_errors(&rendered.findings), "{}", show(&rendered.findings));
    rendered.texts.values().next().unwrap()
}

fn show(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let places: Vec<String> = finding
            .places
            .iter()
            .map(|place| match place.role {
                PlaceRole::At => format!("{place}"),
                PlaceRole::IncludedFrom => format!("from {place}"),
                PlaceRole::ValueFrom => format!("value {place}"),
                PlaceRole::SeeAlso => format!("see {place}"),
            })
            .collect();
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{:?} [{}] {}{hint}", finding.severity, places.join(", "), finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn repository() -> Tree {
    load(Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default())
}

#[test]
fn the_fleet_of_the_repository_renders_and_every_line_is_known() {
    let tree = repository();
    let engine = Engine::new(&tree, &Limits::default());
    let names: Vec<&str> = tree.cluster_names().collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let rendered = engine.render(name, &[]);
        assert_eq!(show(&rendered.findings), "", "{name}");
        assert!(rendered.documents.len() > 5);
        for document in &rendered.documents {
            let text = &rendered.texts[&document.file];
            for (at, line) in text.lines().enumerate() {
                let places = document.places(u32::try_from(at).unwrap() + 1);
                if !line.trim().is_empty() {
                    assert!(places[0].line.is_some(), "{} line {at}: {line}", document.file);
                }
            }
        }
    }
}

#[test]
fn mistakes_of_all_templates_come_at_once_with_lines_and_suggestions() {
    let vars = "extends: _all\nregion: eu-west-3\nnetwork:\n  cidr: 10.0.0.0/33\n";
    let tree = tree(&[
        ("vars/_all.yaml", "cluster_cidr: 100.64.0.0/10\n"),
        ("vars/c.yaml", vars),
        (
            "templates/a.yaml.j2",
            "kind: A\nregion: {{ regoin }}\nsub: {{ cidrsubnet(network.cidr, 3, 0) }}\n",
        ),
        (
            "templates/b.yaml.j2",
            "kind: B\n{% if region %}\nx: {{ regoin }}\n{% endif %}\ny: {{ regoin }}\n",
        ),
        ("templates/d.yaml.j2", "kind: D\nz:\n  {{ snippet(\"s.yaml\", p=1)|indent(2) }}\n"),
        ("templates/e.yaml.j2", "kind: E\nregion: {{ region }}\n"),
        ("snippets/s.yaml", "one: {{ p }}\ntwo: {{ regoin|upper }}\nthree: {{ network.cdir }}\n"),
    ]);
    let rendered = render(&tree, "c", &[], &Limits::default());
    let expected = [
        "Error [snippets/s.yaml:2, from templates/d.yaml.j2:3, value vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [snippets/s.yaml:3, from templates/d.yaml.j2:3, value vars/c.yaml:4] `network.cdir` is not set (did you mean `cidr`?)",
        "Error [templates/a.yaml.j2:2, value vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [templates/a.yaml.j2:3, value vars/c.yaml:4] `10.0.0.0/33` is not a CIDR block such as 10.0.0.0/16",
        "Error [templates/b.yaml.j2:3, value vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [templates/b.yaml.j2:5, value vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
    ];
    assert_eq!(show(&rendered.findings), expected.join("\n"));
    assert_eq!(rendered.documents.len(), 1);
    // A misspelt field beside them can be found in the same run.
    assert_eq!(rendered.partial.len(), 3);
    let consequence = Finding::error("x").places(rendered.partial[0].places(2));
    assert!(rendered.is_consequence(&consequence));
}

#[test]
fn a_missing_value_is_reported_however_it_is_used() {
    for template in [
        "a: {{ x }}",
        "a: {{ x.y }}",
        "a: {{ x[0] }}",
        "a: {{ x + 1 }}",
        "a: {{ x|int }}",
        "a: {{ x ~ 'b' }}",
        "{% for i in x %}{% endfor %}",
        "{% if x %}{% endif %}",
        "{% for i in x.y|items %}{% endfor %}",
        "a: {{ x|tojson }}",
        "a: {{ x|toyaml|indent }}",
        "a: {{ x == 1 }}",
        "a: {{ x() }}",
        "a: {{ x.y() }}",
        "a: {{ cidrhost(x, 1) }}",
        "a: {{ x|join(',') }}",
        "a: {{ [x]|tojson }}",
        "a: {{ 1 in x }}",
        "a: {{ x is odd }}",
        "a: {{ x|sort }}",
        "a: {{ snippet(x) }}",
        "a: {{ -x }}",
        "a: {{ x|b64decode }}",
        "{% set b = x %}a: {{ b }}",
        "{% include x %}",
        "{% macro m(p) %}{{ p }}{% endmacro %}a: {{ m(x) }}",
    ] {
        let shown = show(&one(&format!("# x\n{template}\n"), "xx: 1\n").findings);
        let expected = "Error [templates/a.yaml.j2:2, value vars/c.yaml:1] `x` is not set (did you mean `xx`?)";
        assert!(shown.starts_with(expected), "{template}: {shown}");
        assert_eq!(shown.matches("Error").count(), 1, "{template}: {shown}");
    }
    for (template, text) in [
        ("a: {{ x is defined }}", "a: false"),
        ("a: {{ x is undefined }}", "a: true"),
        ("a: {{ x|default(3) }}", "a: 3"),
        ("a: {{ x.y|default('') }}{{ m }}", ""),
        ("{% if x is not defined %}a: 1{% endif %}", "a: 1"),
    ] {
        let rendered = one(template, "m: {}\n");
        if text.is_empty() {
            assert!(show(&rendered.findings).contains("`x` is not set"));
        } else {
            assert_eq!(text_of(&rendered), text);
        }
    }
    let rendered = one("a: {{ x|required('say x') }}\nb: {{ fail('no') }}\n", "y: 1");
    let shown = show(&rendered.findings);
    assert!(shown.contains("j2:1] say x") && shown.contains("j2:2] no"), "{shown}");
}

#[test]
fn bad_input_ends_soon_with_a_clear_error() {
    let loop_for_ever =
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    let too_long = format!("{{% for a in range(9999) %}}{}{{% endfor %}}", "x".repeat(2000));
    let many_lines = "\n".repeat(70_000);
    let deep = format!("a: {{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let nested = format!("a: {}", "[".repeat(500));
    for (template, message) in [
        (loop_for_ever, "j2:1] the template does not end within 5000000 steps"),
        (&too_long, "the template prints more than 8388608 bytes"),
        (&many_lines, "more than 65535 lines"),
        (&deep, "the template cannot be parsed"),
        (&nested, "not YAML: nested deeper than 64"),
        ("a: {{ b", "a.yaml.j2:1] the template cannot be parsed"),
        ("# \n{% if x %}", "a.yaml.j2:2] the template cannot be parsed"),
        (
            "a: 1\nb: {{ 2 }}\na: {{ 3 }}",
            "[templates/a.yaml.j2:3, see templates/a.yaml.j2:1] the rendered text is not YAML: key `a` is given twice",
        ),
        ("{% include 'nothing.yaml' %}", "there is no snippet `nothing.yaml`"),
        ("a: {{ snippet('nothing.yaml') }}", "there is no snippet `nothing.yaml`"),
        ("a: {{ 'x'|indent(10000) }}", "indent wants a width"),
        ("a: {{ 'x'|nofilter }}", "nofilter is unknown"),
        ("a: {{ env('HOME') }}", "`env` is not set"),
        ("{% include 'a' ignore missing %}\n{% include 'b' %}", "there is no snippet `b`"),
    ] {
        let shown = show(&one(template, "v: 1\n").findings);
        assert!(shown.contains(message), "{template:.80}: {shown}");
        assert_eq!(shown.matches("Error").count(), 1, "{shown}");
    }
    assert_eq!(one("a: {{ snippet('x' ~ '.yaml') }}", "").documents.len(), 0);
}

#[test]
fn snippets_that_include_themselves_are_refused() {
    for (files, message) in [
        (
            vec![("snippets/a", "{{ snippet('a') }}")],
            "Error [snippets/a:1] snippet `a` includes itself",
        ),
        (
            vec![
                ("snippets/a", "{% include 'b' %}"),
                ("snippets/b", "x\n{{ snippet(\"a\", x=1) }}"),
            ],
            "Error [snippets/a:1, from snippets/b:2] snippets include each other: a -> b -> a",
        ),
    ] {
        let mut all = vec![("vars/c.yaml", ""), ("templates/t.yaml.j2", "a: {{ snippet('a') }}\n")];
        all.extend(files);
        let rendered = render(&tree(&all), "c", &[], &Limits::default());
        assert_eq!(show(&rendered.findings), message);
    }
    // Where only running shows it, the depth ends it.
    let name = "{{ snippet('' ~ 'a') }}";
    let include = "{% set n = 'a' %}\n{% include n %}";
    for (snippet, message) in [(name, "nested deeper than 16"), (include, "without end")] {
        let files = [
            ("vars/c.yaml", ""),
            ("templates/t.yaml.j2", "{% include 'a' %}"),
            ("snippets/a", snippet),
        ];
        let shown = show(&render(&tree(&files), "c", &[], &Limits::default()).findings);
        assert!(shown.contains(message), "{shown}");
    }
}

#[test]
fn layers_merge_deeply_and_say_what_is_wrong() {
    let tree = tree(&[
        ("vars/_low.yaml", "a: {x: 1, y: [1, 2], z: {q: 1}}\nb: 1\ngone: 1\n"),
        ("vars/_high.yaml", "extends: _low\na:\n  y: [3]\n  z: {r: 2}\nb: 1\n"),
        ("vars/c.yaml", "extends: [_low, _high]\na: {x: null}\ngone: ~\nextra: 1\n"),
        ("templates/t.yaml.j2", "a: {{ a }}\nb: {{ b }}\n"),
    ]);
    let sets = ["b=true", "a.new[0].k={1,x}", "a.z.r=-0x"].map(|set| Set::parse(set).unwrap());
    let rendered = render(&tree, "c", &sets, &Limits::default());
    let value = rendered.documents[0].root.to_json();
    let expected = json!({
        "a": {"y": [3], "z": {"q": 1, "r": "-0x"}, "new": [{"k": [1, "x"]}]}, "b": true
    });
    assert_eq!(value, expected, "{}", show(&rendered.findings));
    let expected = [
        "Warning [vars/_high.yaml:5, see vars/_low.yaml:2] `b` is set to what a lower layer says already (remove it here)",
        "Warning [vars/c.yaml:4] no template reads `extra` (remove it, or mend its name)",
    ];
    assert_eq!(show(&rendered.findings), expected.join("\n"));
    let entry = &clusters(&tree)[0];
    assert_eq!(entry.layers, ["vars/_low.yaml", "vars/_high.yaml"]);

    let deleted = render(&tree, "c", &[Set::parse("b=null").unwrap()], &Limits::default());
    let shown = show(&deleted.findings);
    assert!(shown.contains("`b` is not set (--set b=null deletes it by a null)"), "{shown}");
}

#[test]
fn wrong_layers_are_findings() {
    for (files, message) in [
        (
            vec![("vars/c.yaml", "extends: _defualts"), ("vars/_defaults.yaml", "")],
            "Error [vars/c.yaml:1] there is no layer `_defualts` (did you mean `_defaults`?)",
        ),
        (
            vec![
                ("vars/c.yaml", "extends: [_a]"),
                ("vars/_a.yaml", "extends: _b"),
                ("vars/_b.yaml", "x: 1\nextends: _a"),
            ],
            "vars/_b.yaml:2] layers extend each other in a circle: vars/_a.yaml -> vars/_b.yaml -> vars/_a.yaml",
        ),
        (vec![("vars/c.yaml", "extends: d"), ("vars/d.yaml", "")], "`d` is no layer"),
        (vec![("vars/c.yaml", "extends: {a: 1}")], "but this is a map"),
        (
            vec![("vars/c.yaml", "a: 1\nb: 2\na: 3\nb: 4")],
            "[vars/c.yaml:4, see vars/c.yaml:2] key `b` is given twice",
        ),
        (vec![("vars/c.yaml", "- a")], "a vars file holds a map, not a list"),
        (vec![("vars/c.yaml", "a: 1\n---\nb: 1")], "one document"),
        (vec![("vars/c.yaml", "cluster: x")], "cannot be set"),
        (vec![("vars/c.yaml", "range: 3")], "the name of a function"),
        (vec![("vars/c.yaml", "a: \"\\uFDD0\"")], "U+FDD0"),
        (vec![("vars/c.yaml", ""), ("templates/c/x.yaml", "")], "this file is not rendered"),
        (vec![("vars/c.yaml", ""), ("templates/d/x.yaml.j2", "")], "belongs to no cluster"),
        (vec![("vars/c.yaml", ""), ("snippets/t.yaml.j2", "")], "both a snippet and a template"),
        (vec![("vars/cc.yaml", "")], "there is no cluster `c` (did you mean `cc`?)"),
    ] {
        let mut all = vec![("templates/t.yaml.j2", "x: 1\n")];
        all.extend(files);
        let shown = show(&render(&tree(&all), "c", &[], &Limits::default()).findings);
        assert!(shown.contains(message), "{message}: {shown}");
    }
    for set in ["a", "=1", "a..b=1", "[0]=1", "a[99999999]=1", "a=99999999999999999999"] {
        assert!(Set::parse(set).is_err(), "{set}");
    }
    let wrong = |set: &str| {
        let files =
            tree(&[("vars/c.yaml", "a: 1\nl: [1]"), ("templates/t.yaml.j2", "{{ a }}{{ l }}")]);
        show(&render(&files, "c", &[Set::parse(set).unwrap()], &Limits::default()).findings)
    };
    assert!(
        wrong("a.b=1").contains("Error [--set a.b=1] `a` is a number, so nothing can be set in it")
    );
    assert!(wrong("l[3]=1").contains("the next one is [1]"));
    assert!(wrong("l.x=1").contains("a list has no key `x`"));
}

#[test]
fn values_are_traced_through_loops_sets_and_snippets() {
    let vars = "zones:\n- a\n- b\npools:\n  p:\n    max: 3\n  q:\n    max: 4\nsize: 2\n";
    let template = "\
{% for z in zones %}
- {{ z }}
{% endfor %}
{% for name, pool in pools|items %}
- name: {{ name }}
  max: {{ pool.max }}
{% endfor %}
{% set half = size // 2 %}
- {{ half }}
- {{ snippet('s.yaml', m=pools.q.max) }}
{% for z in zones|sort %}
- {{ z }}
{% endfor %}
- |
  {{ ['x', size]|join('\\n')|indent(2) }}
";
    let files = [
        ("vars/c.yaml", vars),
        ("templates/t.yaml.j2", template),
        ("snippets/s.yaml", "k: {{ m }}\n{% raw %}\n  l: '{{'\n{% endraw %}\n"),
    ];
    let rendered = render(&tree(&files), "c", &[], &Limits::default());
    let text = text_of(&rendered).to_owned();
    let document = &rendered.documents[0];
    let shown: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let places = document.places(u32::try_from(at).unwrap() + 1);
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            format!("{line} <- {}", places.join(" "))
        })
        .collect();
    let expected = "\
- a <- templates/t.yaml.j2:2 vars/c.yaml:2
- b <- templates/t.yaml.j2:2 vars/c.yaml:3
- name: p <- templates/t.yaml.j2:5
  max: 3 <- templates/t.yaml.j2:6 vars/c.yaml:6
- name: q <- templates/t.yaml.j2:5
  max: 4 <- templates/t.yaml.j2:6 vars/c.yaml:8
- 1 <- templates/t.yaml.j2:9 vars/c.yaml:9
- k: 4 <- templates/t.yaml.j2:10 vars/c.yaml:8
  l: '{{' <- snippets/s.yaml:3 templates/t.yaml.j2:10
- a <- templates/t.yaml.j2:12 vars/c.yaml:2 vars/c.yaml:3
- b <- templates/t.yaml.j2:12 vars/c.yaml:2 vars/c.yaml:3
- | <- templates/t.yaml.j2:14
  x <- templates/t.yaml.j2:15 vars/c.yaml:9
  2 <- templates/t.yaml.j2:15 vars/c.yaml:9";
    assert_eq!(shown.join("\n"), expected);
}

#[test]
fn computing_with_captured_text_costs_the_lines_and_nothing_else() {
    let template =
        "{% macro m() %}\nx\n{% endmacro %}\na: {{ m()|length }}\nb: {{ m()|trim|sha256 }}\n";
    let rendered = one(template, "");
    let shown = show(&rendered.findings);
    assert!(
        shown.contains("Warning [templates/a.yaml.j2] lines of this template cannot be told"),
        "{shown}"
    );
    assert_eq!(rendered.documents[0].root.to_json()["a"], json!(2));
    assert_eq!(rendered.documents[0].places(1)[0].line, None);
    // Printing it is fine, and snippets may be computed with.
    assert_eq!(show(&one("{% macro m() %}\nx\n{% endmacro %}\na: {{ m() }}\n", "").findings), "");
    let files = [
        ("vars/c.yaml", ""),
        (
            "templates/t.yaml.j2",
            "a: {{ snippet('s')|sha256 }}\nb: {{ snippet('s')|b64encode }}\nc: {{ (snippet('s') ~ '')|length }}\n",
        ),
        ("snippets/s", "one\n\ntwo\n"),
    ];
    let rendered = render(&tree(&files), "c", &[], &Limits::default());
    assert_eq!(show(&rendered.findings), "");
    let expected = "a: e9f4dc1a3f1c0b4a";
    assert_eq!(text_of(&rendered).lines().count(), 3, "{expected}");
    assert!(text_of(&rendered).contains("b: b25lCgp0d28=\nc: 8\n"));
}

#[test]
fn templates_of_a_cluster_take_the_place_of_those_of_all() {
    let tree = tree(&[
        ("vars/c.yaml", "cloud: aws\nchannel: early\n"),
        ("vars/d.yaml", ""),
        ("templates/b.yaml.j2", "n: {{ cluster }}\n"),
        ("templates/a.yaml.j2", "n: 1\n"),
        ("templates/c/a.yaml.j2", "n: 2\n"),
    ]);
    let engine = Engine::new(&tree, &Limits::default());
    let values = |name: &str| -> Vec<serde_json::Value> {
        let rendered = engine.render(name, &[]);
        assert_eq!(show(&rendered.findings), "");
        rendered.documents.iter().map(|document| document.root.to_json()["n"].clone()).collect()
    };
    assert_eq!(values("c"), [json!(2), json!("c")]);
    assert_eq!(values("d"), [json!(1), json!("d")]);
    let entry = &clusters(&tree)[0];
    assert_eq!((entry.cloud.as_deref(), entry.channel.as_deref()), (Some("aws"), Some("early")));
}

#[test]
fn a_parameter_that_hides_a_value_is_worth_a_warning() {
    let files = [
        ("vars/c.yaml", "size: 1\n"),
        ("templates/t.yaml.j2", "a: {{ size }}\nb: {{ snippet('s', size=2) }}\n"),
        ("snippets/s", "{{ size }}"),
    ];
    let shown = show(&render(&tree(&files), "c", &[], &Limits::default()).findings);
    let expected = "Warning [templates/t.yaml.j2:2, see vars/c.yaml:1] parameter `size` hides the \
                    value of that name from `snippets/s` (name one of them otherwise)";
    assert_eq!(shown, expected);
}

#[test]
fn explain_says_where_values_and_fields_came_from() {
    let tree = tree(&[
        ("vars/_all.yaml", "pools:\n  a:\n    max: 1\n"),
        ("vars/c.yaml", "extends: _all\npools:\n  a:\n    max: 2\n"),
        (
            "templates/t.yaml.j2",
            "{% for name, pool in pools|items %}\nkind: Group\nmetadata:\n  name: {{ name }}\nspec:\n  {{ snippet('s', pool=pool)|indent(2) }}\n{% endfor %}\n",
        ),
        ("snippets/s", "# what it holds\nmaxSize: {{ pool.max }}\nminSize: 0\n"),
    ]);
    let engine = Engine::new(&tree, &Limits::default());
    let sets = [Set::parse("pools.a.max=50").unwrap()];
    let shown = |lines: &[crate::finding::Place]| -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    };
    for path in ["pools.a.max", "Group/a spec.maxSize", "Group/a spec"] {
        let explained = engine.explain("c", &sets, path).unwrap();
        assert_eq!(explained.path, path);
        let trace = &explained.vars[0];
        assert_eq!((trace.path.as_str(), trace.value.as_str()), ("pools.a.max", "50"));
        assert_eq!(trace.place.to_string(), "--set pools.a.max=50");
        let below: Vec<String> = trace
            .overrode
            .iter()
            .map(|old| format!("{} at {}", old.value, old.origin.place()))
            .collect();
        assert_eq!(below, ["1 at vars/_all.yaml:3", "2 at vars/c.yaml:4"]);
    }
    let by_var = engine.explain("c", &sets, "pools.a").unwrap();
    assert_eq!(by_var.value.as_deref(), Some("{\"max\":50}"));
    assert_eq!(shown(&by_var.lines), ["snippets/s:2"]);
    let by_field = engine.explain("c", &[], "Group/a spec.maxSize").unwrap();
    assert_eq!(by_field.value.as_deref(), Some("2"));
    assert_eq!(shown(&by_field.lines), ["snippets/s:2", "templates/t.yaml.j2:6"]);
    let fixed = engine.explain("c", &[], "Group/a spec.minSize").unwrap();
    assert_eq!((fixed.value.as_deref(), fixed.vars.len()), (Some("0"), 0));
    let absent = engine.explain("c", &[], "Group/a spec.role").unwrap();
    assert_eq!(
        (absent.value, shown(&absent.lines)),
        (None, vec!["templates/t.yaml.j2:5".to_owned()])
    );

    for (path, hint) in [
        ("pools.a.mx", "did you mean `max`?"),
        ("pool.a", "did you mean `pools`?"),
        ("Grup/a spec", "did you mean `Group/a`?"),
        ("Group/a spec..x", "write it like spec.subnets[0]"),
    ] {
        let findings = engine.explain("c", &[], path).unwrap_err();
        assert_eq!(findings[0].hint.as_deref(), Some(hint));
    }
    assert!(engine.explain("d", &[], "x").is_err());
}

#[test]
fn files_that_cannot_be_read_are_findings_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for part in ["vars", "templates", "snippets/deep"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.join(name), bytes).unwrap();
    write("vars/c.yaml", b"a: 1\nb: \xff\n");
    write("vars/d.yaml", b"\xef\xbb\xbfa: 1\n");
    write("snippets/big", &vec![b'x'; (1 << 20) + 1]);
    write("snippets/.hidden", b"\xff");
    std::os::unix::fs::symlink(root.join("snippets"), root.join("snippets/deep/up")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("snippets/zero")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("snippets/gone")).unwrap();
    let tree = load(root, &LoadLimits::default());
    let shown = show(&tree.findings);
    for message in [
        "Error [vars/c.yaml:2] byte 8 (0xff) is not UTF-8 (save the file as UTF-8)",
        "Error [snippets/big] the file is larger than 1048576 bytes",
        "Warning [snippets/deep/up] this folder was read already",
        "Error [snippets/zero] this is not a plain file",
        "Error [snippets/gone] cannot be read: no such file",
    ] {
        assert!(shown.contains(message), "{message}: {shown}");
    }
    assert_eq!(tree.findings.len(), 5, "{shown}");
    assert_eq!(tree.cluster_names().collect::<Vec<_>>(), ["d"]);

    write("doc.yaml", b"kind: A\n---\n# empty\n---\nkind: B\n");
    std::fs::File::create(root.join("huge.yaml")).unwrap().set_len(100 << 20).unwrap();
    let path = |name: &str| root.join(name).display().to_string();
    let files = [path("doc.yaml"), path("huge.yaml"), path("vars"), path("vars/c.yaml")];
    let (documents, findings) = load_documents(&files, &LoadLimits::default());
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].places(5)[0].to_string(), format!("{}:5", files[0]));
    let shown = show(&findings);
    assert!(
        shown.contains("larger than 8388608 bytes") && shown.contains("is a folder"),
        "{shown}"
    );
    assert!(shown.contains("c.yaml:2] byte 8"), "{shown}");

    let nothing = load(&root.join("templates"), &LoadLimits::default());
    assert!(show(&nothing.findings).contains("this folder is not a fleet"));
}

/// Pieces of templates that are valid in any order.
fn any_template() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a: 1",
        "\n",
        "\n\n",
        "  ",
        "{{ x }}",
        "{{- x }}",
        "{{ x -}}",
        "{{ l|tojson }}",
        "é { ",
        "}",
        "{# note #}",
        "{#- note -#}",
        "{# two\nlines #}",
        "{% set y = x %}",
        "{%- set y = 2 -%}",
        "{%+ set y = x %}",
        "{% include 's' %}",
        "{%- include 's' -%}",
        "{{ snippet('s', p=1)|indent(3) }}",
        "{{ snippet('s')\n }}",
        "{% raw %}{{ a }}\n  b\n{% endraw %}",
        "{%- raw -%} \n x {%- endraw -%}",
        "{{ '}}' }}",
        "{{ {'k': {'n': 1}} }}",
        "# comment",
        "---",
        "\t",
        "\r\n",
        "{{ none }}",
        "{{ '' }}",
        "{% if x %}",
        "{% if x -%}",
        "{% for i in l %}",
        "{%- for i in l %}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| {
        let mut text = String::new();
        let mut open = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let close = match piece {
                piece if piece.contains("if x") => Some("{% endif %}"),
                piece if piece.contains("for i") => Some("{%- endfor %}"),
                _ => None,
            };
            if close.is_none() || open.len() < 3 {
                text.push_str(piece);
                open.extend(close);
            }
            if at % 5 == 4 {
                text.push_str(open.pop().unwrap_or("\n"));
            }
        }
        while let Some(close) = open.pop() {
            text.push_str(close);
            text.push('\n');
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The law behind the line map: marks change nothing but what they say.
    #[test]
    fn marks_leave_no_trace(template in any_template(), snippet in any_template()) {
        let snippet = snippet.replace("'s'", "'t'");
        let tree = tree(&[
            ("vars/c.yaml", "x: one\nl: [1, two]\n"),
            ("templates/a.yaml.j2", &template),
            ("snippets/s", &snippet),
            ("snippets/t", "t1\n  t2\n"),
        ]);
        let engine = Engine::new(&tree, &Limits::default());
        let (marked, plain) = engine.both_texts("c", "templates/a.yaml.j2");
        prop_assert!(plain.is_ok(), "{:?}", plain);
        prop_assert_eq!(marked, plain);
    }

    #[test]
    fn rendering_twice_gives_the_same(template in any_template()) {
        let files = tree(&[
            ("vars/c.yaml", "x: one\nl: [1, two]\n"),
            ("templates/a.yaml.j2", &template),
            ("snippets/s", "s: {{ x }}"),
        ]);
        let engine = Engine::new(&files, &Limits::default());
        let (once, again) = (engine.render("c", &[]), engine.render("c", &[]));
        prop_assert_eq!(&once.findings, &again.findings);
        prop_assert_eq!(&once.documents, &again.documents);
        prop_assert_eq!(&once.texts, &render(&files, "c", &[], &Limits::default()).texts);
    }

    #[test]
    fn no_template_text_can_make_it_panic(text in "[{}%#\\-+ a-c'\"().|\\[\\]:\n]{0,60}") {
        let _ = one(&text, "a: 1\nb: [1]\n");
    }

    #[test]
    fn no_set_can_make_it_panic(set in "[a-c.=\\[\\]0-2{},\"\\\\~-]{0,16}") {
        if let Ok(set) = Set::parse(&set) {
            let files = tree(&[("vars/c.yaml", "a: 1\nb: [1]\nc: {a: 1}"), ("templates/t.yaml.j2", "{{ c }}")]);
            let _ = render(&files, "c", &[set], &Limits::default());
        }
    }
}

#[test]
fn no_filter_or_test_takes_a_missing_value_for_an_empty_one() {
    let filters = "lower upper title capitalize replace('a','b') length count dictsort items \
        reverse trim join(',') split lines round abs int float attr('a') first last min max sort \
        list string bool batch(2) slice(2) sum indent select reject selectattr('a') \
        rejectattr('a') map('upper') groupby('a') unique chain([1]) zip([1]) format tojson toyaml \
        b64encode b64decode sha256 safe escape e cidrhost(1) cidrnetmask cidr_contains('::1')";
    let tests = "boolean odd even divisibleby(2) number integer int float string sequence iterable \
        mapping startingwith('a') endingwith('a') lower upper eq(1) ne(1) lt(1) le(1) gt(1) ge(1) \
        in([1]) true false none sameas(1) safe escaped";
    let filters = filters.split_whitespace().map(|name| format!("x|{name}"));
    let tests = tests.split_whitespace().map(|name| format!("x is {name}"));
    for expression in filters.chain(tests) {
        let shown = show(&one(&format!("a: {{{{ {expression} }}}}"), "").findings);
        let expected = "Error [templates/a.yaml.j2:1] `x` is not set \
                        (set `x` in the vars, or give it a default)";
        assert_eq!(shown, expected, "{expression}");
    }
    // They still do their work.
    let text =
        "{{ [1, 2]|join(',') }} {{ 3 is odd }} {{ [3, 4]|select('even')|list }} {{ 1 is lt 2 }}";
    assert_eq!(text_of(&one(&format!("a: \"{text}\""), "")), "a: \"1,2 true [4] true\"");
}
