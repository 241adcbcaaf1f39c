//! Layers, `--set`, overrides and explanations.

use serde_json::json;

use super::*;

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
        ("pools.a.other", "`pools.a` has max"),
        ("pools.a.max.x", "`pools.a.max` is a single value"),
        ("cluster", "templates see the cluster's name under this word"),
        ("Grup/a spec", "did you mean `Group/a`?"),
        ("Group/a spec..x", "write it like spec.subnets[0]"),
    ] {
        let findings = engine.explain("c", &[], path).unwrap_err();
        assert_eq!(findings[0].hint.as_deref(), Some(hint));
    }
    assert!(engine.explain("d", &[], "x").is_err());
}

#[test]
fn what_no_cluster_uses_is_found_over_the_whole_fleet() {
    let files = [
        ("vars/_a.yaml", "x: 1\ny:\n  z: 2\n  w: 3\ncloud: sim\n"),
        ("vars/_b.yaml", "x: 1\n"),
        ("vars/c.yaml", "extends: _a\n"),
        ("vars/d.yaml", "extends: _a\nx: 2\n"),
        ("templates/t.yaml.j2", "{% if cluster == 'd' %}\nz: {{ y.z }}\n{% endif %}\n"),
        ("templates/c/t.yaml.j2", "x: {{ x }}\n"),
        ("templates/d/u.yaml.j2", "x: {{ x }}{{ snippet('used') }}\n"),
        ("snippets/used", "# nothing\n"),
        ("snippets/unused", "x\n"),
    ];
    let tree = tree(&files);
    let shown = show(&Engine::new(&tree, &Limits::default()).unused());
    let expected = [
        "Warning [vars/_b.yaml] no cluster extends this layer",
        "Warning [snippets/unused] no template uses this snippet",
        "Warning [vars/_a.yaml:4] no cluster reads `y.w`",
    ];
    assert_eq!(shown, expected.join("\n"));
}
