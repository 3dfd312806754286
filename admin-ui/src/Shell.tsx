import { Button, Container, Group, Text, Title } from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { signOut } from "./api"
import { SignIn } from "./SignIn"
import { useSignedIn } from "./session"

/** The frame of a signed-in face: header, main region, sign-in where nobody is. */
export function Shell({ title, children }: { title: string; children: ReactNode }) {
  const email = useSignedIn()
  const queries = useQueryClient()
  if (!email) return <SignIn title={title} />
  function leave() {
    void signOut().finally(() => queries.clear())
  }
  return (
    <>
      <Container component="header" size="lg" py="md">
        <Group justify="space-between">
          <Title order={1} size="h3">
            {title}
          </Title>
          <Group gap="sm">
            <Text size="sm" c="dimmed">
              {email}
            </Text>
            <Button variant="default" size="xs" onClick={leave}>
              Sign out
            </Button>
          </Group>
        </Group>
      </Container>
      <Container component="main" id="main" size="lg" pb="xl">
        {children}
      </Container>
    </>
  )
}
