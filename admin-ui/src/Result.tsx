import { Alert, Button, Center, Group, Loader, Text } from "@mantine/core"
import type { UseQueryResult } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { Problem } from "./api"

/** What a person is told about an error. */
export function describe(error: Error) {
  if (!(error instanceof Problem)) return "The server cannot be reached. Check your connection."
  return error.requestId ? `${error.message} (request ${error.requestId})` : error.message
}

export function Failure({ error, again }: { error: Error; again?: () => void }) {
  return (
    <Alert role="alert" color="red" variant="outline" title="That did not work">
      <Group justify="space-between">
        <Text size="sm">{describe(error)}</Text>
        {again && (
          <Button variant="default" size="xs" onClick={again}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  )
}

/** A query's screen: loading, failed, or its data. */
export function Result<T>({
  query,
  children,
}: {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
}) {
  if (query.isPending)
    return (
      <Center p="xl" role="status">
        <Loader aria-label="Loading" />
      </Center>
    )
  if (query.isError) return <Failure error={query.error} again={() => void query.refetch()} />
  return children(query.data)
}
