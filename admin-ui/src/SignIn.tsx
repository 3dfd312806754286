import { Button, Container, Paper, PasswordInput, Stack, TextInput, Title } from "@mantine/core"
import { useMutation } from "@tanstack/react-query"
import type { FormEvent } from "react"
import { signIn } from "./api"
import { Failure } from "./Result"

export function SignIn({ title }: { title: string }) {
  const mutation = useMutation({
    mutationFn: (form: FormData) => signIn(String(form.get("email")), String(form.get("password"))),
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    mutation.mutate(new FormData(event.currentTarget))
  }
  return (
    <Container component="main" size={420} py="xl">
      <Paper withBorder p="lg">
        <form onSubmit={submit}>
          <Stack>
            <Title order={1} size="h3">
              {title}
            </Title>
            <TextInput name="email" type="email" label="E-mail" autoComplete="username" required />
            <PasswordInput name="password" label="Password" autoComplete="current-password" required />
            {mutation.isError && <Failure error={mutation.error} />}
            <Button type="submit" loading={mutation.isPending}>
              Sign in
            </Button>
          </Stack>
        </form>
      </Paper>
    </Container>
  )
}
