//! Laws over generated templates.

use proptest::prelude::*;

use super::*;

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
