import { Checkbox, Stack, Text, TextInput } from "@mantine/core"
import { useState } from "react"
import { TenantForm } from "../TenantForm"
import type { Tenant } from "./queries"

export function QuickAdd({ onDone }: { onDone: () => void }) {
  const [created, setCreated] = useState<Tenant>()
  function done(tenant: Tenant) {
    setCreated(tenant)
    onDone()
  }
  if (created)
    return (
      <Text role="status">
        {created.company_name} is created as {created.slug} ({created.subscription_status}).
      </Text>
    )
  return (
    <TenantForm path="/api/admin/tenants/" action="Create tenant" onDone={done}>
      <Stack gap="xs">
        <TextInput
          name="twilio_phone_number"
          label="Twilio number"
          description="One that we own already; leave empty to buy one later"
          type="tel"
        />
        <Checkbox name="skip_trial" label="Skip the trial: active at once" />
      </Stack>
    </TenantForm>
  )
}
