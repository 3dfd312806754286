import { Anchor, Container, Stack, Text, Title } from "@mantine/core"
import { useState } from "react"
import { TenantForm } from "../TenantForm"

type Created = { slug: string; company_name: string; owner_email: string }

export function Onboarding() {
  const [created, setCreated] = useState<Created>()
  return (
    <Container component="main" size="md" py="xl">
      <Stack>
        <Anchor href="/">Kestrel</Anchor>
        {created ? (
          <Welcome created={created} />
        ) : (
          <>
            <Title order={1}>Get your receptionist</Title>
            <TenantForm path="/api/onboarding" action="Create my account" onDone={setCreated} />
          </>
        )}
      </Stack>
    </Container>
  )
}

function Welcome({ created }: { created: Created }) {
  const dashboard = `${location.protocol}//${created.slug}.${location.host.replace(/^www\./, "")}`
  return (
    <Stack role="status">
      <Title order={1}>Welcome, {created.company_name}</Title>
      <Text>
        We set up your phone number and write to {created.owner_email} when it is live. The mail that is on
        its way to you now lets you choose a password for your dashboard at{" "}
        <Anchor href={dashboard}>{dashboard}</Anchor>.
      </Text>
    </Stack>
  )
}
