//! Reports of mistakes as a user reads them: all of them at once, each once, with file and line, the
//! way it came, and a way out.

use std::fs;
use std::path::Path;

use crate::env;

const STAGING: &str = "staging.k8s.example.com";

/// Replaces text that a file of the fleet must hold.
fn edit(fleet: &Path, file: &str, from: &str, to: &str) {
    let path = fleet.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} holds no {from:?}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

/// The line of a file on which a text stands.
fn line_of(fleet: &Path, file: &str, text: &str) -> usize {
    let content = fs::read_to_string(fleet.join(file)).unwrap();
    1 + content.lines().position(|line| line.contains(text)).unwrap()
}

/// What `kprod plan` says to a fleet with mistakes; it plans nothing.
fn report(fleet: &Path) -> String {
    let output = env::kprod(fleet).args(["plan", STAGING]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing is planned");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    said
}

#[test]
fn mistakes_of_three_kinds_in_five_places_are_one_report() {
    let fleet = env::fleet();
    let at = fleet.path();
    edit(at, "snippets/machine.yaml", "rootVolumeType:", "rootVolumTipe:");
    edit(at, "vars/_staging.yaml", "  cidr: 10.20.0.0/16", "  cidr: 10.20.0.0/33");
    edit(at, "templates/cluster.yaml.j2", "{{ account }}", "{{ acount }}");
    edit(at, "templates/control-plane.yaml.j2", "role: ControlPlane", "role: {{ acount }}");
    edit(
        at,
        "templates/pools.yaml.j2",
        "autoscalePriority: 100",
        "autoscalePriority: {{ acount }}",
    );
    let said = report(at);
    let line = |file: &str, text: &str| format!("{file}:{}", line_of(at, file, text));
    let expected = format!(
        "\
error: InstanceGroup/spot-4x-32gb spec.rootVolumTipe: unknown field
  `rootVolumTipe`
  --> {field}
      included from {worker}
      included from {pool}
      also InstanceGroup/on-demand-4x-32gb,
        InstanceGroup/control-plane-eu-west-3a,
        InstanceGroup/control-plane-eu-west-3b and 1 more
  hint: did you mean `rootVolumeType`?
error: `acount` is not set
  --> {cluster}
  --> {control_plane}
  --> {pools}
      see {account}
  hint: did you mean `account`?
error: Cluster/staging.k8s.example.com spec.networkCIDR: `10.20.0.0/33` is not a
  CIDR; write an address and a length, such as `10.0.0.0/16`
  --> {cidr}
      value from {value}
3 errors, 0 warnings
error: the input has errors

hint: nothing was planned or changed; mend these and run again
",
        field = line("snippets/machine.yaml", "rootVolumTipe"),
        worker = line("snippets/worker.yaml", "machine.yaml"),
        pool = line("templates/pools.yaml.j2", "worker.yaml"),
        cluster = line("templates/cluster.yaml.j2", "acount"),
        control_plane = line("templates/control-plane.yaml.j2", "acount"),
        pools = line("templates/pools.yaml.j2", "acount"),
        account = line("vars/_staging.yaml", "account:"),
        cidr = line("templates/cluster.yaml.j2", "networkCIDR"),
        value = line("vars/_staging.yaml", "10.20.0.0/33"),
    );
    assert_eq!(said, expected);
}
