//! User data: what the spec says, passed through.

use super::draft::Draft;
use crate::spec::{Field, InstanceGroup, Kind, UserDataPart};

/// The most bytes of user data, before base64.
/// Source: EC2 user guide, "Run commands at launch using user data".
pub(super) const USER_DATA_MAX: usize = 16 * 1024;

/// The systemd unit that completes the launch of a machine with an etcd member once the member is
/// healthy. Only a group whose user data installs it gets the launch hook: without it nobody would
/// complete the hook, and AWS would end every new machine.
pub const READY_UNIT: &str = "kprod-etcd-ready.service";

/// A group's user data: nothing, the one part as it stands, or all parts as one MIME document.
pub(super) fn of(group: &InstanceGroup) -> String {
    match group.spec.additional_user_data.as_slice() {
        [] => String::new(),
        [part] => part.content.clone(),
        parts => multipart(parts),
    }
}

/// Whether user data installs [`READY_UNIT`]: names it outside of a comment.
pub(super) fn completes_launch(user_data: &str) -> bool {
    let lines = user_data.lines().map(str::trim_start);
    lines.filter(|line| !line.starts_with('#')).any(|line| line.contains(READY_UNIT))
}

/// Reports user data that AWS would refuse, with the parts that make it up.
pub(super) fn check(group: &InstanceGroup, user_data: &str, draft: &mut Draft<'_>) {
    if user_data.len() <= USER_DATA_MAX {
        return;
    }
    let size = |part: &UserDataPart| format!("`{}` {}", part.name, part.content.len());
    let parts: Vec<String> = group.spec.additional_user_data.iter().map(size).collect();
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
