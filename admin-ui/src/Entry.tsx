import { Alert, Button, Paper, Stack, TextInput, Title } from "@mantine/core"
import type { UseMutationResult } from "@tanstack/react-query"
import type { FormEvent, ReactNode } from "react"
import { Failure } from "./Result"

/** A small form that stands alone: sign-in, new password, second factor. Hands its fields to the mutation. */
export function Entry(props: {
  title: string
  order?: 1 | 2
  action: string
  mutation: UseMutationResult<unknown, Error, FormData>
  notice?: string
  children: ReactNode
}) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    props.mutation.mutate(new FormData(event.currentTarget))
  }
  return (
    <Paper withBorder p="lg" maw={420} mx="auto">
      <form onSubmit={submit}>
        <Stack>
          <Title order={props.order ?? 1} size="h3">
            {props.title}
          </Title>
          {props.notice && <Alert color="gray">{props.notice}</Alert>}
          {props.children}
          {props.mutation.isError && <Failure error={props.mutation.error} />}
          <Button type="submit" loading={props.mutation.isPending}>
            {props.action}
          </Button>
        </Stack>
      </form>
    </Paper>
  )
}

/** A one-time code of an authenticator app. */
export function CodeInput() {
  return (
    <TextInput
      name="code"
      label="Code from your authenticator app"
      inputMode="numeric"
      autoComplete="one-time-code"
      pattern="[0-9]{6}"
      title="6 digits"
      required
    />
  )
}
