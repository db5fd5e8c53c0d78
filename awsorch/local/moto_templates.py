"""moto's launch templates, whose later versions work as the first does.

moto takes the user data of a template's first version only, and ignores the version that a new one is made from.
Source: EC2 API, CreateLaunchTemplateVersion (SourceVersion).
"""

from __future__ import annotations

from typing import Any


def mend_templates() -> None:
    """Have moto do so. Raises AttributeError where it no longer has what this was written for."""
    from moto.ec2.models.launch_templates import LaunchTemplate
    from moto.ec2.responses.launch_templates import LaunchTemplates
    from moto.ec2.utils import parse_user_data

    create_version = LaunchTemplate.create_version
    answer = LaunchTemplates.create_launch_template_version

    def create_readable_version(self: Any, data: dict[str, Any], description: str) -> Any:
        if isinstance(data.get("UserData"), str):
            data = data | {"UserData": parse_user_data(data["UserData"])}
        return create_version(self, data, description)

    def create_launch_template_version(self: Any) -> Any:
        data = _source_of(self) | self._get_param("LaunchTemplateData", {})
        plain = self._get_param

        def get_param(name: str, default: Any = None) -> Any:
            return data if name == "LaunchTemplateData" else plain(name, default)

        self._get_param = get_param
        return answer(self)

    LaunchTemplate.create_version = create_readable_version
    LaunchTemplates.create_launch_template_version = create_launch_template_version


def _source_of(call: Any) -> dict[str, Any]:
    """What a version inherits; nothing where no source is named. Raises moto's ServiceException for one that is not."""
    source, name, template_id = (
        call._get_param(each) for each in ("SourceVersion", "LaunchTemplateName", "LaunchTemplateId")
    )
    if source is None:
        return {}
    backend = call.ec2_backend
    template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(template_id)
    return dict(template.get_version(source).data)
