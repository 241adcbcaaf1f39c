//! What a machine runs at its first boot.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One part of a group's user data.
///
/// A single part is the user data as it stands; several become one MIME multipart document, in the
/// order given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserDataPart {
    /// File name of the part, unique in the group.
    pub name: String,
    /// What the content is, as cloud-init tells parts apart.
    #[serde(rename = "type")]
    pub content_type: UserDataType,
    /// The content.
    pub content: String,
}

/// The kinds of content that cloud-init takes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum UserDataType {
    /// A cloud-config document.
    #[serde(rename = "text/cloud-config")]
    CloudConfig,
    /// A list of parts as YAML.
    #[serde(rename = "text/cloud-config-archive")]
    CloudConfigArchive,
    /// A script run late in the boot.
    #[serde(rename = "text/x-shellscript")]
    ShellScript,
    /// A script run early in every boot.
    #[serde(rename = "text/cloud-boothook")]
    BootHook,
    /// Addresses of further parts.
    #[serde(rename = "text/x-include-url")]
    IncludeUrl,
    /// Addresses of further parts, fetched once.
    #[serde(rename = "text/x-include-once-url")]
    IncludeOnceUrl,
    /// Code for further kinds of parts.
    #[serde(rename = "text/part-handler")]
    PartHandler,
    /// An upstart job.
    #[serde(rename = "text/upstart-job")]
    UpstartJob,
}

impl UserDataType {
    /// The MIME type.
    pub fn mime(self) -> &'static str {
        match self {
            UserDataType::CloudConfig => "text/cloud-config",
            UserDataType::CloudConfigArchive => "text/cloud-config-archive",
            UserDataType::ShellScript => "text/x-shellscript",
            UserDataType::BootHook => "text/cloud-boothook",
            UserDataType::IncludeUrl => "text/x-include-url",
            UserDataType::IncludeOnceUrl => "text/x-include-once-url",
            UserDataType::PartHandler => "text/part-handler",
            UserDataType::UpstartJob => "text/upstart-job",
        }
    }
}
