//! A machine's own view of its account: its identity from the metadata service, its member's volume, its
//! launch hook.

use std::error::Error;

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_ec2::types::{Filter, Tag, Volume, VolumeAttachmentState};

use super::{AwsCloud, fence, http_client};
use crate::cloud::machine::{Hook, Launch, MachineCloud, MemberVolume, member_tag};
use crate::cloud::{CloudError, CloudErrorKind};
use crate::resource::{FORMATTED_TAG, OWNER_TAG};

/// Where the metadata service names the instance.
/// Source: EC2 user guide, "Instance metadata categories".
const INSTANCE_ID: &str = "/latest/meta-data/instance-id";

/// What AWS says of a hook that does not wait (any more) for this machine.
/// Source: Amazon EC2 Auto Scaling API reference, "Common Errors"; the message names the action.
const NO_ACTION: &str = "No active Lifecycle Action";

impl MachineCloud for AwsCloud {
    async fn this_instance(&self, _group: &str) -> Result<String, CloudError> {
        // The second version of the service alone: the launch template asks for its tokens.
        let provider = ProviderConfig::without_region().with_http_client(http_client());
        let client = imds::Client::builder().configure(&provider).build();
        let answer = client.get(INSTANCE_ID).await.map_err(|error| {
            let causes = causes(&error);
            let kind = CloudErrorKind::Unavailable;
            CloudError::new(kind, "InstanceMetadata", "NoMetadata", causes)
        })?;
        let id = String::from(answer);
        match id.starts_with("i-") {
            true => Ok(id),
            false => {
                let message = format!("`{id}` is no instance id");
                let kind = CloudErrorKind::Invalid;
                Err(CloudError::new(kind, "InstanceMetadata", "BadInstanceId", message))
            }
        }
    }

    async fn member_volumes(
        &self,
        cluster: &str,
        etcd: &str,
        member: &str,
    ) -> Result<Vec<MemberVolume>, CloudError> {
        let (tag, begin) = member_tag(etcd, member);
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let call = self
            .ec2
            .describe_volumes()
            .filters(filter(&format!("tag:{OWNER_TAG}"), cluster))
            .filters(filter(&format!("tag:{tag}"), &format!("{begin}*")));
        let page = |token| call.clone().set_next_token(token).send();
        let pages = self.pages("DescribeVolumes", page, |page| page.next_token()).await?;
        Ok(pages.iter().flat_map(|page| page.volumes()).filter_map(told).collect())
    }

    async fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), CloudError> {
        let call = self.ec2.attach_volume().volume_id(volume_id).instance_id(instance_id);
        let sent = async {
            let sent = call.device(device).send().await.map(|_| ());
            sent.map_err(|error| self.failed("AttachVolume", error))
        };
        self.change("AttachVolume", sent).await
    }

    async fn mark_formatted(&self, volume_id: &str, value: &str) -> Result<(), CloudError> {
        let tag = Tag::builder().key(FORMATTED_TAG).value(value).build();
        let call = self.ec2.create_tags().resources(volume_id).tags(tag);
        let sent = async {
            let sent = call.send().await.map(|_| ());
            sent.map_err(|error| self.failed("CreateTags", error))
        };
        self.change("CreateTags", sent).await
    }

    async fn extend_launch(&self, launch: &Launch) -> Result<Hook, CloudError> {
        let operation = "RecordLifecycleActionHeartbeat";
        let call = self
            .autoscaling
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(&launch.auto_scaling_group_name)
            .lifecycle_hook_name(&launch.hook)
            .instance_id(&launch.instance_id);
        let sent = async {
            let sent = call.send().await.map(|_| ());
            sent.map_err(|error| self.failed(operation, error))
        };
        heard(self.change(operation, sent).await)
    }

    async fn complete_launch(&self, launch: &Launch) -> Result<Hook, CloudError> {
        let operation = "CompleteLifecycleAction";
        let call = self
            .autoscaling
            .complete_lifecycle_action()
            .auto_scaling_group_name(&launch.auto_scaling_group_name)
            .lifecycle_hook_name(&launch.hook)
            .instance_id(&launch.instance_id)
            .lifecycle_action_result("CONTINUE");
        let sent = async {
            let sent = call.send().await.map(|_| ());
            sent.map_err(|error| self.failed(operation, error))
        };
        heard(self.change(operation, sent).await)
    }
}

impl AwsCloud {
    /// Sends a change at once, or not at all: what a machine knew before it was held up may be over.
    async fn change<T>(
        &self,
        operation: &'static str,
        sent: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let sent = async {
            self.pace(operation).await;
            sent.await
        };
        Box::pin(fence::guard(operation, sent)).await
    }
}

fn heard(sent: Result<(), CloudError>) -> Result<Hook, CloudError> {
    match sent {
        Ok(()) => Ok(Hook::Heard),
        Err(error) if error.message.contains(NO_ACTION) => Ok(Hook::Gone),
        Err(error) => Err(error),
    }
}

fn told(volume: &Volume) -> Option<MemberVolume> {
    let is_held = |state: Option<&VolumeAttachmentState>| {
        state.is_none_or(|state| *state != VolumeAttachmentState::Detached)
    };
    let mut holders = volume.attachments().iter().filter(|held| is_held(held.state()));
    let marked = volume.tags().iter().find(|tag| tag.key() == Some(FORMATTED_TAG));
    Some(MemberVolume {
        volume_id: volume.volume_id()?.to_owned(),
        attached_to: holders.find_map(|held| held.instance_id()).map(str::to_owned),
        formatted_by: marked.map(|tag| tag.value().unwrap_or_default().to_owned()),
    })
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
