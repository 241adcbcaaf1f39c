//! Bad input through the program: whatever a file holds, there is a clear error with its line and a
//! way out, soon, and nothing is printed or written that could be taken for a result.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::env;

const STAGING: &str = "staging.k8s.example.com";
const VARS: &str = "vars/staging.k8s.example.com.yaml";
const LAYER: &str = "vars/_staging.yaml";

/// An unoptimised build takes some 10 seconds for all the steps that a template may take.
const LONGEST: Duration = Duration::from_secs(60);

/// One mistake: what it does to the fleet, and what is said of it.
struct Case {
    name: &'static str,
    spoil: Box<dyn Fn(&Path)>,
    said: &'static [&'static str],
}

fn case(
    name: &'static str,
    said: &'static [&'static str],
    spoil: impl Fn(&Path) + 'static,
) -> Case {
    Case { name, spoil: Box::new(spoil), said }
}

fn append(fleet: &Path, file: &str, bytes: &[u8]) {
    let path = fleet.join(file);
    let mut content = fs::read(&path).unwrap_or_default();
    content.extend_from_slice(bytes);
    fs::write(path, content).unwrap();
}

fn edit(fleet: &Path, file: &str, from: &str, to: &str) {
    let path = fleet.join(file);
    let content = fs::read_to_string(&path).unwrap();
    assert!(content.contains(from), "{file} holds no {from:?}");
    fs::write(path, content.replace(from, to)).unwrap();
}

/// A mistake in a template of its own.
fn template(name: &'static str, said: &'static [&'static str], text: impl Into<String>) -> Case {
    let text = text.into();
    case(name, said, move |fleet| append(fleet, "templates/x.yaml.j2", text.as_bytes()))
}

/// A mistake made by replacing text of a file.
fn swap(
    name: &'static str,
    said: &'static [&'static str],
    file: &'static str,
    from: &'static str,
    to: impl Into<String>,
) -> Case {
    let to = to.into();
    case(name, said, move |fleet| edit(fleet, file, from, &to))
}

/// Ten lists, each of nine times the one before.
fn laughs() -> String {
    let line = |at: usize| {
        let inside = if at == 0 { "lol".to_owned() } else { format!("*a{}", at - 1) };
        format!("a{at}: &a{at} [{}]\n", vec![inside; 9].join(", "))
    };
    (0..10).map(line).collect()
}

fn files() -> Vec<Case> {
    vec![
        case("vars in Latin-1", &["vars/_staging.yaml:3", "not UTF-8", "save the file"], |fleet| {
            edit(fleet, LAYER, "account: ", "x: \u{1}\naccount: ");
            let bytes = fs::read(fleet.join(LAYER)).unwrap();
            let bytes: Vec<u8> = bytes.iter().map(|b| if *b == 1 { 0xe9 } else { *b }).collect();
            fs::write(fleet.join(LAYER), bytes).unwrap();
        }),
        case("a template in Latin-1", &["templates/etcd.yaml.j2:", "not UTF-8"], |fleet| {
            append(fleet, "templates/etcd.yaml.j2", b"# caf\xe9\n");
        }),
        case("a snippet in Latin-1", &["snippets/worker.yaml:", "not UTF-8"], |fleet| {
            append(fleet, "snippets/worker.yaml", b"# caf\xe9\n");
        }),
        case("100 MB of vars", &[LAYER, "larger than"], |fleet| {
            fs::File::create(fleet.join(LAYER)).unwrap().set_len(100 << 20).unwrap();
        }),
        case("100 MB of template", &["templates/x.yaml.j2", "larger than"], |fleet| {
            let file = fs::File::create(fleet.join("templates/x.yaml.j2")).unwrap();
            file.set_len(100 << 20).unwrap();
        }),
        case("deep vars", &["vars/_staging.yaml:", "nested deeper"], |fleet| {
            append(fleet, LAYER, format!("deep: {}", "[".repeat(100_000)).as_bytes());
        }),
        case("billion laughs", &["vars/_staging.yaml:", "aliases expanded"], |fleet| {
            append(fleet, LAYER, laughs().as_bytes());
        }),
        case("a layer that is gone", &[VARS, "there is no layer", "did you mean"], |fleet| {
            edit(fleet, VARS, "_staging", "_stagin");
        }),
        case("a tab", &["vars/_staging.yaml:", "tab"], |fleet| {
            append(fleet, LAYER, b"x:\n\ty: 1\n");
        }),
    ]
}

fn templates() -> Vec<Case> {
    const AT: &str = "templates/x.yaml.j2:";
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    let doubled = "{% set n = namespace(x='aaaa') %}\n{% for i in range(60) %}\n";
    let called = "{% macro f(g, x) %}{{ g(g, x ~ x) }}{% endmacro %}{{ f(f, 'aaaa') }}";
    let captured =
        "{% set y %}{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}{% endset %}";
    let large = &[AT, "a value here is larger than", "hint: build less"];
    let knotted = &["templates/x.yaml.j2:1", "more than 500 operators", "hint: give parts"];
    vec![
        template("a loop without end", &[AT, "does not end", "hint: look at the loops"], nested),
        template(
            "a text that doubles",
            large,
            format!("{doubled}{{% set n.x = n.x ~ n.x %}}\n{{% endfor %}}"),
        ),
        template(
            "a text that is replaced",
            large,
            format!("{doubled}{{% set n.x = n.x|replace('a', n.x) %}}\n{{% endfor %}}"),
        ),
        template(
            "a list that doubles",
            large,
            format!("{doubled}{{% set n.x = [n.x, n.x] %}}\n{{% endfor %}}"),
        ),
        template("a macro that doubles", large, called),
        template("a list of millions", large, "a: {{ ([1] * 99999999)|list|length }}"),
        template("a join of millions", large, "a: {{ range(99999)|join('b' * 999999)|length }}"),
        template("captured output without end", &[AT, "prints more than"], captured),
        template("a deep expression", knotted, format!("a: {{{{ {}1 }}}}", "not ".repeat(50_000))),
        template("a long sum", knotted, format!("a: {{{{ 1{} }}}}", "+1".repeat(50_000))),
        template("brackets", &[AT, "cannot be parsed"], format!("a: {{{{ {}1", "(".repeat(400))),
        template("deep output", &[AT, "nested deeper"], format!("a: {}", "[".repeat(10_000))),
        case(
            "a snippet that includes itself",
            &["snippets/s.yaml:2", "includes itself"],
            |fleet| {
                append(fleet, "snippets/s.yaml", b"# s\n{% include 's.yaml' %}\n");
                append(fleet, "templates/x.yaml.j2", b"{% include 's.yaml' %}");
            },
        ),
        case(
            "a snippet that calls itself by a computed name",
            &["snippets/s.yaml:1", "nested deeper"],
            |fleet| {
                append(fleet, "snippets/s.yaml", b"{{ snippet('s' ~ '.yaml') }}");
                append(fleet, "templates/x.yaml.j2", b"{{ snippet('s.yaml') }}");
            },
        ),
    ]
}

fn values() -> Vec<Case> {
    vec![
        swap(
            "a name over DNS' limit",
            &["templates/pools.yaml.j2:13", "63 at most", "hint: "],
            "templates/pools.yaml.j2",
            "name: spot-",
            format!("name: spot-{}", "x".repeat(70)),
        ),
        swap(
            "a name over AWS' limit",
            &["templates/pools.yaml.j2:13", "AWS takes 128"],
            "templates/pools.yaml.j2",
            "name: spot-",
            format!("name: {}.{}.", "x".repeat(60), "y".repeat(60)),
        ),
        swap(
            "overlapping CIDRs",
            &["templates/cluster.yaml.j2:29", "vars/_staging.yaml:25", "overlaps", "hint: "],
            LAYER,
            "10.20.16.0/20",
            "10.20.8.0/21",
        ),
        swap(
            "an even number of members",
            &["templates/cluster.yaml.j2:61", "2 members", "hint: have 1, 3, 5 or 7"],
            VARS,
            "main: [a, b, c]",
            "main: [a, b]",
        ),
        swap(
            "a zone without subnet",
            &["templates/pools.yaml.j2:18", "no subnet `eu-west-3d`", "hint: did you mean"],
            VARS,
            "4x_32Gb: {az: [a, b, c]",
            "4x_32Gb: {az: [a, b, d]",
        ),
        case(
            "duplicate groups",
            &["templates/x.yaml.j2:13", "there is another", "see templates/pools.yaml.j2:13"],
            |fleet| {
                fs::copy(fleet.join("templates/pools.yaml.j2"), fleet.join("templates/x.yaml.j2"))
                    .unwrap();
            },
        ),
        swap(
            "a record outside the zone",
            &["templates/cluster.yaml.j2:45", "outside the zone", "hint: "],
            "templates/cluster.yaml.j2",
            "masterPublicName: api.{{ cluster }}",
            "masterPublicName: api.example.org",
        ),
        swap(
            "a cloud that is none",
            &["vars/_defaults.yaml:6", "`gcp` is no cloud"],
            "vars/_defaults.yaml",
            "cloud: sim",
            "cloud: gcp",
        ),
    ]
}

/// Runs the program in a folder; gives the exit code and both outputs.
fn run(fleet: &Path, arguments: &[&str], case: &str) -> (Option<i32>, String, String) {
    let start = Instant::now();
    let output = env::kprod(fleet).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(start.elapsed() < LONGEST, "{case}: it took {:?}", start.elapsed());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn is_refused(case: &Case, arguments: &[&str], fleet: &Path) {
    let name = case.name;
    let (code, printed, said) = run(fleet, arguments, name);
    assert_eq!(code, Some(1), "{name}: {said}");
    assert_eq!(printed, "", "{name}: {said}");
    let unwrapped = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in case.said {
        assert!(unwrapped.contains(part), "{name}: no {part:?} in\n{said}");
    }
    // What a broken file may hold is not missed on top of it.
    assert!(!said.contains("is not set"), "{name}: {said}");
    assert!(!fleet.join("out").exists() && !fleet.join("plan.json").exists(), "{name}");
    assert!(!fleet.join(".kprod").exists(), "{name}: no world is made for it");
}

#[test]
fn files_that_cannot_be_used_are_told_by_name_and_line() {
    for case in files() {
        let fleet = env::fleet();
        (case.spoil)(fleet.path());
        is_refused(&case, &["render", STAGING, "-o", "out"], fleet.path());
    }
}

#[test]
fn no_template_takes_all_time_memory_or_stack() {
    for case in templates() {
        let fleet = env::fleet();
        (case.spoil)(fleet.path());
        is_refused(&case, &["render", STAGING, "-o", "out"], fleet.path());
    }
}

#[test]
fn values_that_cannot_be_are_told_with_where_they_came_from() {
    for case in values() {
        let fleet = env::fleet();
        (case.spoil)(fleet.path());
        is_refused(&case, &["plan", STAGING, "--out", "plan.json"], fleet.path());
    }
}

#[test]
fn ready_documents_are_as_little_trusted() {
    let documents: [(&str, Vec<u8>, &[&str]); 9] = [
        ("Latin-1", b"kind: Cluster\nname: \xe9\n".to_vec(), &["bad.yaml:2", "not UTF-8"]),
        ("100 MB", vec![b' '; 100 << 20], &["bad.yaml", "larger than"]),
        ("deep", "[".repeat(100_000).into_bytes(), &["bad.yaml:1", "nested deeper"]),
        ("billion laughs", laughs().into_bytes(), &["bad.yaml:", "aliases expanded"]),
        ("nothing", Vec::new(), &["bad.yaml", "no document"]),
        ("text", b"hello".to_vec(), &["bad.yaml:1", "expected a Cluster or an InstanceGroup"]),
        ("broken JSON", b"{\"kind\": \"Cluster\"".to_vec(), &["bad.yaml:1", "error: "]),
        (
            "another kind",
            b"apiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroop\n".to_vec(),
            &["bad.yaml:2", "did you mean `InstanceGroup`?"],
        ),
        (
            "no name",
            b"apiVersion: kprod.dev/v1alpha1\nkind: Cluster\n".to_vec(),
            &["bad.yaml:1", "`metadata` is missing"],
        ),
    ];
    for (name, bytes, said) in documents {
        let fleet = env::fleet();
        fs::write(fleet.path().join("bad.yaml"), bytes).unwrap();
        let case = case(name, said, |_| ());
        for verb in ["plan", "apply", "destroy", "validate", "observe", "unlock"] {
            is_refused(&case, &[verb, "-f", "bad.yaml"], fleet.path());
        }
    }
}

#[test]
fn a_set_that_makes_no_sense_is_a_slip_of_the_command_line() {
    let fleet = env::fleet();
    for wrong in ["", "a", "=1", "a..b=1", ".a=1", "a.=1", "a[=1", "a[x]=1"] {
        let (code, printed, said) = run(fleet.path(), &["render", STAGING, "--set", wrong], wrong);
        assert_eq!((code, printed.as_str()), (Some(64), ""), "{wrong}: {said}");
        assert!(said.contains("write"), "{wrong}: {said}");
    }
}
