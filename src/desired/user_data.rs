//! User data: what the spec says, passed through, and what starts kprod's part of a machine.

use super::draft::Draft;
use super::node;
use crate::boot::user_data::PART;
use crate::spec::{Field, InstanceGroup, Kind, Spec, UserDataPart};

/// The most bytes of user data, before base64.
/// Source: EC2 user guide, "Run commands at launch using user data".
pub(super) const USER_DATA_MAX: usize = 16 * 1024;

/// A group's user data: nothing, the one part as it stands, or all parts as one MIME document.
pub(super) fn of(spec: &Spec, group: &InstanceGroup) -> String {
    match parts(spec, group).as_slice() {
        [] => String::new(),
        [part] => part.content.clone(),
        parts => multipart(parts),
    }
}

/// The parts of a group's user data, in their order: the spec's, and kprod's own. cloud-init runs scripts
/// by the order of their names, whatever that of the parts is; kprod's needs none of the others.
fn parts(spec: &Spec, group: &InstanceGroup) -> Vec<UserDataPart> {
    group.spec.additional_user_data.iter().cloned().chain(node::part(spec, group)).collect()
}

/// Reports user data that AWS would refuse, with the parts that make it up, and a part that would take the
/// place of kprod's.
pub(super) fn check(spec: &Spec, group: &InstanceGroup, user_data: &str, draft: &mut Draft<'_>) {
    let named = group.spec.additional_user_data.iter().position(|part| part.name == PART);
    if let Some(at) = named.filter(|_| spec.hosts_etcd(group.name())) {
        let path = format!("spec.additionalUserData[{at}].name");
        let field = Field::new(Kind::InstanceGroup, group.name(), &path);
        let message = format!("`{PART}` is the part that starts the machine's etcd members");
        draft.error(&field, message, "give the part another name");
    }
    if user_data.len() <= USER_DATA_MAX {
        return;
    }
    let size = |part: &UserDataPart| format!("`{}` {}", part.name, part.content.len());
    let parts: Vec<String> = parts(spec, group).iter().map(size).collect();
    let message = format!(
        "user data has {} bytes, AWS takes {USER_DATA_MAX}; parts: {}",
        user_data.len(),
        parts.join(", ")
    );
    let field = Field::new(Kind::InstanceGroup, group.name(), "spec.additionalUserData");
    draft.error(&field, message, "build it into the image, or fetch it at boot");
}

/// A MIME document of several parts, in their order. The boundary is a digest of the parts, so
/// equal parts give equal bytes and no part holds it.
fn multipart(parts: &[UserDataPart]) -> String {
    let content: Vec<&str> = parts.iter().map(|part| part.content.as_str()).collect();
    let boundary = format!("kprod-{}", crate::resource::digest(&serde_json::json!(content)));
    let mut text =
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for UserDataPart { name, content_type, content } in parts {
        let encoding = if content.is_ascii() { "7bit" } else { "8bit" };
        let end = if content.ends_with('\n') { "" } else { "\n" };
        text.push_str(&format!(
            "--{boundary}\n\
             Content-Type: {}; charset=\"utf-8\"\n\
             MIME-Version: 1.0\n\
             Content-Transfer-Encoding: {encoding}\n\
             Content-Disposition: attachment; filename=\"{}\"\n\n{content}{end}\n",
            content_type.mime(),
            name.replace(['"', '\\', '\n', '\r'], "_"),
        ));
    }
    text.push_str(&format!("--{boundary}--\n"));
    text
}
