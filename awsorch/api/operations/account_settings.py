"""PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting, ListAccountSettings."""

from __future__ import annotations

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views_task_definitions import setting_view
from awsorch.core.errors import invalid_parameter
from awsorch.core.events_registry import DeleteAccountSetting, PutAccountSetting
from awsorch.core.model import AccountSetting
from awsorch.core.rules.account_settings import effective_value, named_principal, settings_of
from awsorch.core.state import RegistryState

MAX_PAGE = 10


@operation("PutAccountSetting")
async def put_account_setting(call: Call) -> Answer:
    """Set a value for the caller, or for the principal that it names."""
    return await _put(call, _principal(call))


@operation("PutAccountSettingDefault")
async def put_account_setting_default(call: Call) -> Answer:
    """Set a value for all principals of the account that have none of their own."""
    return await _put(call, call.scope.root)


@operation("DeleteAccountSetting")
async def delete_account_setting(call: Call) -> Answer:
    """Take the principal's own value out; the answer is the value that applies from now on."""
    name, principal = call.request.get("name", ""), _principal(call)
    await call.registry.submit(DeleteAccountSetting(cause=call.cause, name=name, principal_arn=principal))
    value = await call.registry.read(lambda state: effective_value(state.settings, name, principal, call.scope))
    return {"setting": setting_view(AccountSetting(name=name, principal_arn=principal, value=value))}


@operation("ListAccountSettings")
async def list_account_settings(call: Call) -> Answer:
    """A principal's own settings, or with effectiveSettings all as they apply to it; by name."""
    request = call.request
    name, value = request.get("name"), request.get("value")
    if value is not None and name is None:
        raise invalid_parameter("You must specify a setting name to filter by value.")
    size, after = page_size(request, default=MAX_PAGE, limit=MAX_PAGE), start_after(request)
    principal, effective = _principal(call), request.get("effectiveSettings", False)

    def look(state: RegistryState) -> Answer:
        found = {
            setting.name: setting
            for setting in settings_of(state.settings, principal, call.scope, effective=effective)
            if name in (None, setting.name) and value in (None, setting.value)
        }
        page, token = take_page(sorted(key for key in found if after is None or key > after), size)
        return {"settings": [setting_view(found[key]) for key in page], "nextToken": token}

    return await call.registry.read(look)


def _principal(call: Call) -> str:
    return named_principal(call.request.get("principalArn"), caller_arn=call.caller_arn, scope=call.scope)


async def _put(call: Call, principal: str) -> Answer:
    setting = await call.registry.submit(
        PutAccountSetting(
            cause=call.cause, name=call.request.get("name", ""), value=call.request["value"], principal_arn=principal
        )
    )
    return {"setting": setting_view(setting)}
