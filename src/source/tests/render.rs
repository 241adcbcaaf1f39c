//! What templates give, what is traced, and what mistakes look like.

use serde_json::json;

use super::*;

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
        "Error [snippets/s.yaml:2, from templates/d.yaml.j2:3, see vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [snippets/s.yaml:3, from templates/d.yaml.j2:3, see vars/c.yaml:4] `network.cdir` is not set (did you mean `cidr`?)",
        "Error [templates/a.yaml.j2:2, see vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [templates/a.yaml.j2:3, value vars/c.yaml:4] `10.0.0.0/33` is not a CIDR block such as 10.0.0.0/16",
        "Error [templates/b.yaml.j2:3, see vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
        "Error [templates/b.yaml.j2:5, see vars/c.yaml:2] `regoin` is not set (did you mean `region`?)",
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
        let expected =
            "Error [templates/a.yaml.j2:2, see vars/c.yaml:1] `x` is not set (did you mean `xx`?)";
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
fn an_error_of_another_kind_is_not_blamed_on_names_elsewhere() {
    let text = "{% for i in list %}\n- {{ i }}\n{% endfor %}\na: {{ max + 1 }}\n";
    let shown = show(&one(text, "list: [1]\nmax: many\n").findings);
    assert!(shown.starts_with("Error [templates/a.yaml.j2:4, value vars/c.yaml:2] tried to use +"));
    assert_eq!(shown.matches("Error").count(), 1, "{shown}");
}

#[test]
fn what_a_broken_file_may_hold_is_not_missed() {
    let template = "a: {{ x }}\nb: {{ x.y|required('say it') }}\nc: {{ z + 1 }}\n";
    for (extends, layer, wrong) in [
        ("_l", "x: [", "vars/_l.yaml:1"),
        ("_l", "- x", "vars/_l.yaml:1"),
        ("_m", "x: 1", "there is no layer `_m`"),
    ] {
        let vars = format!("extends: {extends}\nunused: 1\n");
        let files =
            [("vars/_l.yaml", layer), ("vars/c.yaml", &vars), ("templates/a.yaml.j2", template)];
        let rendered = render(&tree(&files), "c", &[], &Limits::default());
        let shown = show(&rendered.findings);
        assert!(shown.contains(wrong), "{layer}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{layer}: {shown}");
        assert!(rendered.documents.is_empty() && rendered.partial.is_empty());
    }
    let mut broken = tree(&[("vars/c.yaml", ""), ("templates/a.yaml.j2", "{{ snippet('s') }}")]);
    broken.add_unread("snippets/s", Finding::error("cannot be read").at(Place::file("snippets/s")));
    let shown = show(&render(&broken, "c", &[], &Limits::default()).findings);
    assert_eq!(shown, "Error [snippets/s] cannot be read");
}

#[test]
fn bad_input_ends_soon_with_a_clear_error() {
    let loop_for_ever =
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    let too_long = format!("{{% for a in range(9999) %}}{}{{% endfor %}}", "x".repeat(2000));
    let many_lines = "\n".repeat(70_000);
    let deep = format!("a: {{{{ {}1{} }}}}", "(".repeat(400), ")".repeat(400));
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
