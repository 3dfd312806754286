import { Button, Container, Group, Text, Title } from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { signOut } from "./api"
import type { Arrival } from "./arrival"
import { NewPassword, SignIn } from "./SignIn"
import { useSignedIn } from "./session"

const nothing: Arrival = { kind: "none" }

/** The frame of a signed-in face: header, main region; before that, whatever sign-in is still to do. */
export function Shell(props: { title: string; arrival?: Arrival; children: ReactNode }) {
  const { title, children } = props
  const [arrival, setArrival] = useState(props.arrival ?? nothing)
  const email = useSignedIn()
  const queries = useQueryClient()
  if (!email || arrival.kind === "password")
    return (
      <Container component="main" py="xl">
        {email ? (
          <NewPassword onDone={() => setArrival(nothing)} />
        ) : (
          <SignIn title={title} notice={arrival.kind === "failed" ? arrival.reason : undefined} />
        )}
      </Container>
    )
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
