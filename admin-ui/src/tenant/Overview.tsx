import { Alert, Badge, Group, List, Progress, Stack, Text, Title } from "@mantine/core"
import { useQuery } from "@tanstack/react-query"
import { Result } from "../Result"
import { own, type PhoneNumber, type Tenant, type Usage } from "./queries"

export function Overview() {
  return (
    <Stack gap="xl">
      <Result query={useQuery(own.tenant())}>
        {(tenant) => (
          <Stack>
            <Stopped tenant={tenant} />
            <Company tenant={tenant} />
          </Stack>
        )}
      </Result>
      <section aria-labelledby="usage">
        <Title order={2} size="h4" id="usage" mb="sm">
          This period
        </Title>
        <Result query={useQuery(own.usage())}>{(usage) => <UsageBar usage={usage} />}</Result>
      </section>
      <section aria-labelledby="numbers">
        <Title order={2} size="h4" id="numbers" mb="sm">
          Phone numbers
        </Title>
        <Result query={useQuery(own.numbers())}>{(page) => <Numbers items={page.items} />}</Result>
      </section>
    </Stack>
  )
}

const stopped: Record<string, string> = {
  suspended: "Your receptionist is paused: callers hear a short message. Everything here can still be read.",
  cancelled: "Your subscription has ended. Everything here can still be read.",
}

/** What a suspended or cancelled customer needs to know before anything else. */
function Stopped({ tenant }: { tenant: Tenant }) {
  const text = stopped[tenant.subscription_status]
  if (!text) return null
  return (
    <Alert color="orange" title={`This account is ${tenant.subscription_status}`} role="status">
      <Text size="sm">{text}</Text>
      {tenant.status_reason && <Text size="sm">Reason: {tenant.status_reason}</Text>}
      <Text size="sm">To start again, answer any e-mail from us.</Text>
    </Alert>
  )
}

function Company({ tenant }: { tenant: Tenant }) {
  return (
    <Group>
      <Title order={2}>{tenant.company_name}</Title>
      <Badge variant="default">{tenant.subscription_status}</Badge>
      <Text c="dimmed" tt="capitalize">
        {tenant.plan_tier}
      </Text>
    </Group>
  )
}

function UsageBar({ usage }: { usage: Usage }) {
  const calls = usage.current ? Math.max(usage.current.calls + usage.current.adjusted_calls, 0) : 0
  return (
    <Stack gap="xs">
      <Text>
        {calls} of {usage.max_monthly_calls ?? "unlimited"} calls
      </Text>
      <Progress value={Math.min(usage.usage_percentage, 100)} aria-label="Share of the calls used" />
    </Stack>
  )
}

function Numbers({ items }: { items: PhoneNumber[] }) {
  if (items.length === 0)
    return <Text c="dimmed">None yet. We are setting yours up and will write to you.</Text>
  return (
    <List listStyleType="none">
      {items.map((number) => (
        <List.Item key={number.id}>
          {number.phone_number} <Badge variant="default">{number.status}</Badge>{" "}
          {number.is_primary && "primary"}
        </List.Item>
      ))}
    </List>
  )
}
